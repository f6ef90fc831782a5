"""The exact search equals exhaustive scoring, and its certificate and bound hold."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie, build_trie
from llmrec.decoding import exact_search as module
from llmrec.decoding.exact_decoder import ExactDecoder
from llmrec.decoding.exact_search import ExactSearch, Found, search_exact
from llmrec.decoding.session import SharedPrefix
from llmrec.decoding.title_scores import title_log_probabilities
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import EOS, QUOTE, random_backbone, random_prompts, random_titles, title_scores, token_titles

TITLES = random_titles(300, seed=3, quote=QUOTE)
TRIE, _ = build_trie(TITLES)
BACKBONE = random_backbone(seed=3)
PROMPTS = random_prompts()
ENOUGH = 1000
"""A budget that ends no search on the small catalogue."""


def search(
    settings: ExactSearch,
    backbone: Backbone = BACKBONE,
    trie: Trie = TRIE,
    prompts: Sequence[np.ndarray] = PROMPTS,
    excluded: torch.Tensor | None = None,
) -> Found:
    """Searches with the prompts' shared prefix."""
    return search_exact(backbone, trie, prompts, SharedPrefix(backbone, prompts[0][:4]), settings, excluded)


@cache
def exhaustive(prompt: int) -> dict[int, float]:
    """Returns every title's log-probability, best first."""
    return title_scores(BACKBONE, PROMPTS[prompt], TITLES, "trie")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("quote", [None, QUOTE])
@pytest.mark.parametrize("k", [1, 10, 57])
def test_equals_the_exhaustive_ranking(k: int, quote: int | None, plain: bool) -> None:
    titles = random_titles(40, seed=3, quote=quote)
    trie, _ = build_trie(titles)
    backbone = random_backbone(seed=3)
    backbone.uses_plain_path = plain
    found = search(ExactSearch(k, ENOUGH), backbone, trie)
    assert found.certified.all()
    for row, prompt in enumerate(PROMPTS):
        expected = title_scores(BACKBONE, prompt, titles, "trie")
        kept = min(k, 40)
        assert trie.leaf_title[found.leaf[row, :kept]].tolist() == list(expected)[:k]
        assert found.score[row, :kept].tolist() == pytest.approx(list(expected.values())[:k], abs=1e-4)
        assert (found.leaf[row, kept:] == -1).all()


@pytest.mark.parametrize(("count", "temperature"), [(2000, 1.0), (300, 2.5)])
def test_equals_the_scores_of_all_titles(count: int, temperature: float) -> None:
    titles = random_titles(count, seed=5, quote=None)
    trie, _ = build_trie(titles)
    found = search(ExactSearch(10, count, temperature), trie=trie, prompts=PROMPTS[:2])
    assert found.certified.all()
    for row, prompt in enumerate(PROMPTS[:2]):
        scores = title_log_probabilities(
            BACKBONE, trie, titles, prompt, np.arange(count), "trie", temperature=temperature
        )
        best = np.lexsort((np.arange(count), -scores))[:10]
        assert trie.leaf_title[found.leaf[row]].tolist() == best.tolist()
        assert found.score[row].tolist() == pytest.approx(scores[best].tolist(), abs=1e-4)


@pytest.mark.parametrize("budget", [1, 2, 5, 12, 20])
def test_budget_too_small_gives_no_certificate_and_a_true_bound(budget: int) -> None:
    found = search(ExactSearch(10, budget))
    assert not found.certified.any()
    assert found.prefixes.tolist() == [budget] * 4
    for row in range(4):
        scores = exhaustive(row)
        listed = trie_titles(found, row)
        assert found.score[row, : len(listed)].tolist() == pytest.approx([scores[t] for t in listed], abs=1e-4)
        missing = max(score for title, score in scores.items() if title not in listed)
        assert missing <= float(found.bound[row]) + 1e-4
        assert float(found.bound[row]) <= 0


def test_bound_of_a_search_that_expands_the_root_only_is_the_best_first_token() -> None:
    """The bound is the log-probability of the best of the first tokens, each of which several titles share."""
    found = search(ExactSearch(10, 1))
    for row in range(4):
        first = {}
        for title, score in exhaustive(row).items():
            token = int(TITLES.of(title)[1])
            first[token] = first.get(token, 0.0) + np.exp(score)
        assert float(found.bound[row]) == pytest.approx(np.log(max(first.values())), abs=1e-4)


def trie_titles(found: Found, row: int) -> list[int]:
    """Returns the titles of a list without padding."""
    leaves = found.leaf[row]
    return TRIE.leaf_title[leaves[leaves >= 0]].tolist()


def test_bound_of_a_certified_list_is_its_last_score() -> None:
    found = search(ExactSearch(10, ENOUGH))
    assert found.bound.tolist() == found.score[:, -1].tolist()


def test_search_that_ends_by_itself_within_the_budget_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of expansions that a search needs is enough as a budget; one fewer costs the certificate."""
    monkeypatch.setattr(module, "PREFIXES_PER_CALL", 1)
    free = search(ExactSearch(10, ENOUGH), prompts=PROMPTS[:1])
    needed = int(free.prefixes[0])
    enough, short = (search(ExactSearch(10, budget), prompts=PROMPTS[:1]) for budget in (needed, needed - 1))
    assert bool(enough.certified[0])
    assert enough.leaf.tolist() == free.leaf.tolist()
    assert int(short.prefixes[0]) == needed - 1
    assert not bool(short.certified[0])
    assert float(short.bound[0]) >= float(free.score[0, -1])


def test_equal_scores_are_in_the_order_of_the_catalogue() -> None:
    """A model whose logits are all equal: eight titles of probability 1/8, two of them under each first token."""
    titles = token_titles([(first, second, EOS) for second in (9, 4) for first in (8, 3, 6, 5)])
    backbone = random_backbone(seed=3)
    with torch.no_grad():
        backbone.causal_lm.get_output_embeddings().weight.zero_()
    trie, _ = build_trie(titles)
    found = search(ExactSearch(5, ENOUGH), backbone, trie)
    assert found.certified.all()
    assert trie.leaf_title[found.leaf].tolist() == [[0, 1, 2, 3, 4]] * 4
    assert found.score.flatten().tolist() == pytest.approx([-np.log(8)] * 20, abs=1e-6)


@pytest.mark.parametrize("prefixes", [1, 3, 16])
def test_number_of_prefixes_per_call_changes_the_cost_only(prefixes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = search(ExactSearch(10, ENOUGH))
    monkeypatch.setattr(module, "PREFIXES_PER_CALL", prefixes)
    found = search(ExactSearch(10, ENOUGH))
    assert found.leaf.tolist() == expected.leaf.tolist()
    assert ((found.prefixes - 1) <= prefixes * (found.model_calls - 1)).all()
    assert found.certified.all()


def test_one_prefix_at_a_time_expands_those_above_the_last_score_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREFIXES_PER_CALL", 1)
    found = search(ExactSearch(10, ENOUGH))
    for row in range(4):
        assert int(found.prefixes[row]) == shared_prefixes_above(float(found.score[row, -1]), row)


def shared_prefixes_above(score: float, row: int) -> int:
    """Returns the number of prefixes with a choice whose log-probability is above a score, counted title by title."""
    mass: dict[tuple[int, ...], float] = {}
    below: dict[tuple[int, ...], set[int]] = {}
    for title, log_probability in exhaustive(row).items():
        tokens = tuple(TITLES.of(title).tolist())
        for length in range(len(tokens)):
            prefix = tokens[:length]
            mass[prefix] = mass.get(prefix, 0.0) + np.exp(log_probability)
            below.setdefault(prefix, set()).add(tokens[length])
    return sum(len(below[prefix]) > 1 and np.log(total) > score for prefix, total in mass.items())


@pytest.mark.parametrize("seed", [0, 1])
def test_excluded_titles_leave_the_exact_list_of_a_catalogue_without_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    titles = random_titles(40, seed=3, quote=QUOTE)
    trie, _ = build_trie(titles)
    history = [generator.choice(40, size, replace=False).tolist() for size in (33, 1, 0, 10)]
    excluded = torch.full((4, 33), -1)
    for row, left_out in enumerate(history):
        excluded[row, : len(left_out)] = trie.title_leaf[left_out]
    found = search(ExactSearch(10, ENOUGH), trie=trie, excluded=excluded)
    assert found.certified.all()
    for row, left_out in enumerate(history):
        expected = title_scores(BACKBONE, PROMPTS[row], titles, "trie", left_out)
        kept = min(10, len(expected))
        assert trie.leaf_title[found.leaf[row, :kept]].tolist() == list(expected)[:kept]
        assert found.score[row, :kept].tolist() == pytest.approx(list(expected.values())[:kept], abs=1e-4)
        assert (found.leaf[row, kept:] == -1).all()


def test_rows_do_not_depend_on_the_rows_beside_them() -> None:
    for budget in (12, ENOUGH):
        together = search(ExactSearch(10, budget))
        for row in range(4):
            alone = search(ExactSearch(10, budget), prompts=[PROMPTS[row]])
            assert alone.leaf[0].tolist() == together.leaf[row].tolist()
            assert alone.score[0].tolist() == pytest.approx(together.score[row].tolist(), abs=1e-4)
            assert float(alone.bound[0]) == pytest.approx(float(together.bound[row]), abs=1e-4)
            for name in ("certified", "prefixes", "model_calls"):
                assert getattr(alone, name)[0] == getattr(together, name)[row], name


def test_decoder_returns_titles_and_details_in_the_order_of_the_prompts() -> None:
    order = [2, 0, 3, 1]
    prompts = Prompts.joined([PROMPTS[row].astype(np.int32) for row in order])
    titles, scores, details = ExactDecoder(10, ENOUGH).rank_with_details(BACKBONE, TRIE, prompts)
    found = search(ExactSearch(10, ENOUGH))
    assert titles.tolist() == TRIE.leaf_title[found.leaf][order].tolist()
    np.testing.assert_allclose(scores, found.score[order], atol=1e-4)
    assert ExactDecoder.details == ("certified", "bound", "prefixes", "model_calls")
    expected = [found.certified, found.bound, found.prefixes, found.model_calls]
    np.testing.assert_allclose(details.T, [values[order].double() for values in expected], atol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_catalogue_of_one_title_needs_no_search(k: int) -> None:
    titles = token_titles([(3, 4, EOS)])
    found = search(ExactSearch(k, ENOUGH), trie=build_trie(titles)[0])
    assert found.certified.all()
    assert found.leaf.tolist() == [[0] + [-1] * (k - 1)] * 4
    assert found.model_calls.tolist() == [1] * 4
