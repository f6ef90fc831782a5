"""With as many beams as titles, the search ranks exhaustively, and its probabilities satisfy the lemma of MSL."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
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


@cache
def exhaustive(prompt: int, scores: str) -> dict[int, float]:
    """Returns every title's log-probability, best first."""
    return title_scores(BACKBONE, PROMPTS[prompt], TITLES, scores)


@pytest.mark.parametrize(("beams", "scores"), [(40, "trie"), (57, "trie"), (57, "vocab")])
def test_equals_the_exhaustive_ranking(beams: int, scores: str) -> None:
    for prompt, (titles, points) in zip(
        PROMPTS, found(BACKBONE, TRIE, PROMPTS, BeamSearch(beams, scores)), strict=True
    ):
        expected = title_scores(BACKBONE, prompt, TITLES, scores)
        assert titles == list(expected)
        assert points == pytest.approx(list(expected.values()), abs=1e-4)


def by_final_score(scores: dict[int, float], titles: TitleTokens, penalty: float) -> dict[int, float]:
    """Returns `log-probability / length ** penalty` of every title, best first."""
    final = {title: score / len(titles.of(title)) ** penalty for title, score in scores.items()}
    return dict(sorted(final.items(), key=lambda pair: -pair[1]))


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 2.0])
def test_equals_the_exhaustive_ranking_with_a_length_penalty(penalty: float) -> None:
    ranked = found(BACKBONE, TRIE, PROMPTS, BeamSearch(57, "trie", penalty))
    for prompt, (titles, points) in enumerate(ranked):
        expected = by_final_score(exhaustive(prompt, "trie"), TITLES, penalty)
        assert titles == list(expected)
        assert points == pytest.approx(list(expected.values()), abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 2.0])
def test_the_best_titles_are_found_while_no_live_beam_is_pruned(penalty: float) -> None:
    # Six beginnings of two tokens, each with eight titles: six are unique at the third token, with tails of several
    # lengths, and two at the fourth. So six beams are enough to keep every prefix that is not unique.
    ends = [(3 + end, *[4] * (3 * (end % 3)), EOS) for end in range(6)] + [(9, 3, EOS), (9, *[4] * 9, EOS)]
    titles = token_titles([(first, second, *end) for first in (3, 4, 5) for second in (3, 4) for end in ends])
    ranked = found(BACKBONE, build_trie(titles)[0], PROMPTS, BeamSearch(6, "trie", penalty))
    for prompt, (best, points) in zip(PROMPTS, ranked, strict=True):
        expected = by_final_score(title_scores(BACKBONE, prompt, titles, "trie"), titles, penalty)
        assert best == list(expected)[:6]
        assert points == pytest.approx(list(expected.values())[:6], abs=1e-4)


def test_trie_probabilities_sum_to_one() -> None:
    for _, points in found(BACKBONE, TRIE, PROMPTS, BeamSearch(40)):
        assert sum(map(math.exp, points)) == pytest.approx(1, abs=1e-5)


def test_lemma() -> None:
    """-log NDCG <= MSL <= LML and MSL >= log(rank), losses summed over a title's tokens, temperature 1."""
    masked, whole = exhaustive(0, "trie"), exhaustive(0, "vocab")
    for rank, (title, log_probability) in enumerate(masked.items(), start=1):
        msl, lml = -log_probability, -whole[title]
        assert math.log(math.log2(rank + 1)) <= msl <= lml
        assert msl >= math.log(rank) - 1e-9


def excluded_leaves(history: list[list[int]]) -> torch.Tensor:
    """Returns the leaves of each prompt's history, -1 = padding."""
    leaves = torch.full((len(history), max(map(len, history))), -1)
    for row, titles in enumerate(history):
        leaves[row, : len(titles)] = TRIE.title_leaf[titles]
    return leaves


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_excluded_titles_never_come(scores: str) -> None:
    """With trie scores, the remaining titles have the probabilities of a catalogue without the excluded ones."""
    generator = np.random.default_rng(0)
    history = [generator.choice(40, size, replace=False).tolist() for size in (25, 1, 0, 10)]
    result = found(BACKBONE, TRIE, PROMPTS, BeamSearch(40, scores), excluded=excluded_leaves(history))
    for prompt, left_out, (titles, points) in zip(PROMPTS, history, result, strict=True):
        expected = title_scores(BACKBONE, prompt, TITLES, scores, left_out)
        assert titles == list(expected)
        assert points == pytest.approx(list(expected.values()), abs=1e-4)


def test_excluding_keeps_the_order_of_vocab_scores() -> None:
    (titles, points), *_ = found(BACKBONE, TRIE, PROMPTS, BeamSearch(40, "vocab"))
    history = [titles[:3], titles[5:7], titles[:1], []]
    (left, left_points), *_ = found(BACKBONE, TRIE, PROMPTS, BeamSearch(40, "vocab"), excluded=excluded_leaves(history))
    assert left == titles[3:]
    assert left_points == pytest.approx(points[3:], abs=1e-4)


def test_all_excluded_leaves_nothing() -> None:
    history = [list(range(40)), [], [], []]
    nothing, *rest = found(BACKBONE, TRIE, PROMPTS, BeamSearch(10), excluded=excluded_leaves(history))
    assert nothing == ([], [])
    assert all(len(titles) == 10 for titles, _ in rest)
