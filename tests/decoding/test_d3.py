"""D3: the assistant's distribution is mixed in at each token, and the sums are those of whole titles."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.baselines.base import Baseline
from llmrec.catalogue.trie import build_trie
from llmrec.datasets.dataset import Rows
from llmrec.decoding.assistance import Assistance
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.d3_decoder import D3Decoder
from llmrec.decoding.decoder import DecoderPreparation
from llmrec.decoding.rank import rank_titles
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import (
    EOS,
    QUOTE,
    found,
    random_backbone,
    random_prompts,
    random_titles,
    title_scores,
    token_titles,
)

TITLES = random_titles(40, seed=3, quote=QUOTE)
TRIE, _ = build_trie(TITLES)
BACKBONE = random_backbone(seed=3)
PROMPTS = random_prompts()
LOGITS = np.random.default_rng(0).normal(scale=3, size=(len(PROMPTS), len(TITLES))).astype(np.float32)
ROWS = Rows(
    np.array(["a", "b", "c", "d"], dtype=object), np.arange(4), np.arange(5), np.arange(4), np.zeros(4, np.int64)
)


class Scripted(Baseline):
    """Scores the titles of the row whose history holds its number."""

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        assert split == "valid"
        yield from (LOGITS[number][None] for number in rows.history)

    fit = save = load = rank = None  # type: ignore[assignment]


Scripted.__abstractmethods__ = frozenset()


class Opened:
    """What `prepare` gets."""

    def open_assistant(self) -> Baseline:
        return Scripted()


def mixed(alpha: float, scores: str, left_out: tuple[int, ...] = ()) -> list[dict[int, float]]:
    """alpha log p(title) + (1 - alpha) log q(title) of each prompt's titles, best first, title by title."""
    ranked = []
    for prompt, logits in zip(PROMPTS, LOGITS, strict=True):
        model = title_scores(BACKBONE, prompt, TITLES, scores, left_out)
        of_rest = {title: float(logits[title]) for title in model}
        total = math.log(sum(map(math.exp, of_rest.values())))
        sums = {title: alpha * model[title] + (1 - alpha) * (of_rest[title] - total) for title in model}
        ranked.append(dict(sorted(sums.items(), key=lambda pair: -pair[1])))
    return ranked


def decoded(decoder: D3Decoder, excluded: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    preparation: DecoderPreparation = Opened()  # type: ignore[assignment]
    decoder.prepare(preparation)
    return decoder.rank_rows(BACKBONE, TRIE, Prompts.joined(PROMPTS), ROWS, "valid", excluded)[:2]


def test_mass_is_divided_among_the_tokens_that_continue_a_prefix_by_hand() -> None:
    # q(title) = .5, .3, .2; the first two share the token 3. A model that gives 1/4 to each of the edges 3 and 4:
    # .75 log .25 + .25 log(.8) = -1.095507 and .75 log .25 + .25 log(.2) = -1.442081.
    trie, _ = build_trie(token_titles([(3, 5, EOS), (3, 6, EOS), (4, EOS)]))
    assistance = Assistance.of_titles(torch.tensor([[5.0, 3.0, 2.0]]).log(), trie, None, alpha=0.75)
    owner, edge = trie.children(torch.tensor([0, 1]))
    row, quarter = torch.zeros(4, dtype=torch.long), torch.full((4,), 0.25).log()
    # Below the token 3: .75 log .25 + .25 log(.5 / .8) and + .25 log(.3 / .8).
    expected = [-1.095507, -1.442081, -1.157222, -1.284928]
    assert assistance.mixed(quarter, owner, 2, edge, row, trie).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scores", ["trie", "vocab"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_with_all_beams_titles_have_the_mixture_of_their_log_probabilities(alpha: float, scores: str) -> None:
    titles, points = decoded(D3Decoder(Scripted(), alpha, beams=57, scores=scores))  # type: ignore[arg-type]
    for row, expected in enumerate(mixed(alpha, scores)):
        assert titles[row, :40].tolist() == list(expected)
        assert points[row, :40].tolist() == pytest.approx(list(expected.values()), abs=2e-4)


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_weight_1_is_beam_search_alone(scores: str) -> None:
    titles, points = decoded(D3Decoder(Scripted(), 1.0, beams=5, scores=scores))  # type: ignore[arg-type]
    settings = BeamSearch(5, scores)  # type: ignore[arg-type]
    plain_titles, plain_points = rank_titles(BACKBONE, TRIE, Prompts.joined(PROMPTS), settings)
    assert np.array_equal(titles, plain_titles)
    assert np.array_equal(points, plain_points)


def test_a_beam_is_kept_by_the_mixture_and_not_by_the_model() -> None:
    # One beam: what the assistant prefers by far at the first choice decides all that follows.
    titles, _ = decoded(D3Decoder(Scripted(), 0.0, beams=1, scores="trie"))
    assert titles[:, 0].tolist() == [greedy(logits) for logits in LOGITS]
    (best, _), *_ = found(BACKBONE, TRIE, PROMPTS, BeamSearch(1, "trie"))
    assert titles[0, 0] != best[0]


def greedy(logits: np.ndarray) -> int:
    """The title at the end of the path along which each token has the largest sum of the assistant's probabilities."""
    prefix: tuple[int, ...] = ()
    while True:
        inside = [title for title in range(40) if tuple(TITLES.of(title)[: len(prefix)].tolist()) == prefix]
        if len(inside) == 1:
            return inside[0]
        mass: dict[int, float] = {}
        for title in inside:
            token = int(TITLES.of(title)[len(prefix)])
            mass[token] = mass.get(token, 0) + math.exp(logits[title])
        prefix = (*prefix, max(mass, key=lambda token: mass[token]))


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_excluded_titles_leave_the_mixture_of_the_rest(scores: str) -> None:
    left_out = (0, 7, 21)
    excluded = np.tile(TRIE.title_leaf.numpy()[list(left_out)].astype(np.int64), (4, 1))
    titles, points = decoded(D3Decoder(Scripted(), 0.5, beams=57, scores=scores), excluded)  # type: ignore[arg-type]
    for row, expected in enumerate(mixed(0.5, scores, left_out)):
        assert titles[row, :37].tolist() == list(expected)
        assert (titles[row, 37:] == -1).all()
        assert points[row, :37].tolist() == pytest.approx(list(expected.values()), abs=2e-4)


def test_titles_with_equal_tokens_share_their_probabilities() -> None:
    trie, _ = build_trie(token_titles([(3, EOS), (4, EOS), (3, EOS)]))
    assistance = Assistance.of_titles(torch.tensor([[1.0, 2.0, 5.0]]).log(), trie, None, alpha=0.5)
    assert assistance.log_mass.exp().tolist()[0] == pytest.approx([0.75, 0.25])


def test_probabilities_below_the_smallest_float_are_kept_apart() -> None:
    logits = torch.zeros((1, 40))
    logits[0, :20] = -200 - torch.arange(20.0)
    prefix = SharedPrefix(BACKBONE, PROMPTS[0][:0])
    assistance = Assistance.of_titles(logits, TRIE, None, alpha=0.5)
    leaves, scores = search(BACKBONE, TRIE, PROMPTS[:1], prefix, BeamSearch(40), assistance=assistance)
    assert bool(scores.isfinite().all())
    assert titles_of(leaves) == list(range(40))


def titles_of(leaves: Tensor) -> list[int]:
    return sorted(TRIE.leaf_title[leaves[0]].tolist())
