"""Fairness of recommended lists, worked out by hand on a catalogue of five titles and on one of ten."""

import json
from dataclasses import replace

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError
from llmrec.evaluation.fairness import equal_count_bins, fairness, gini, top20
from tests.evaluation.small import ITEMS, RELEVANCE, TRAIN, rows_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite.
ROWS = rows_of(([0, 3, 1], 2), ([2, 2], 4))
"""Five entries of histories: Anno once as item a and once as item d, Braid once, Civ twice."""

LISTS = np.array([[0, 1, 3, -1, -1], [0, -1, -1, -1, -1]], dtype=np.int32)
"""Four slots given: Anno twice, Braid and Doom once."""

CATEGORIES = [["Strategy", "City"], ["Puzzle"], ["Strategy"], [], ["Shooter"], ["Space", "Shooter"]]
"""Of the items a to f: Anno is half Strategy and City (a), half nothing (d)."""

LETTERS = Items(ids=list("abcdefghij"), titles=list("ABCDEFGHIJ"))
LETTERS_TRAIN = rows_of(*[([0], title) for title in range(10) for _ in range(10 - title)])
"""A is a target ten times, B nine times, ..., J once: the bins of popularity are AB, CD, EF, GH, IJ."""


def grouped() -> Items:
    return replace(ITEMS, categories=CATEGORIES)


def ten_letters(rows: Rows, *lists: list[int]) -> dict:
    return fairness(np.array(lists, dtype=np.int32), rows, LETTERS_TRAIN, LETTERS, relevance=None)


def random_lists(users: int) -> tuple[np.ndarray, Rows]:
    """Lists of up to five different titles and histories, all by chance."""
    rng = np.random.default_rng(0)
    lists = np.array([rng.permutation(5) for _ in range(users)], dtype=np.int32)
    lists[np.arange(5) >= rng.integers(1, 6, users)[:, None]] = -1
    return lists, rows_of(*[(rng.integers(0, 6, rng.integers(1, 9)).tolist(), 0) for _ in range(users)])


def test_spread() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, RELEVANCE)
    # Anno and Civ were a target twice each, Braid once: Anno, first in the catalogue, is the most popular fifth.
    assert measured["head20_share"] == 2 / 4
    assert measured["coverage"] == 3 / 5
    assert measured["average_popularity"] == (2 * 2 + 1 * 1 + 1 * 0) / 4
    # Sorted counts 0, 0, 1, 1, 2 with weights -4, -2, 0, 2, 4: (2 * 1 + 4 * 2) / (5 * 4).
    assert measured["gini"] == 10 / 20
    # Braid and Doom are equally relevant, Braid comes first in the catalogue.
    assert measured["top20_relevance_share"] == 1 / 4


def test_parity_by_popularity() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, None)["popularity"]
    # Bins: Anno, Civ (as often a target, later in the catalogue), Braid, Doom, Elite (never a target, in that order).
    # Both items of Anno count for its bin. GU: 1/10, -2/5, 1/20, 1/4, 0.
    assert measured == {
        "groups": 5,
        "gp@5": [2 / 4, 0, 1 / 4, 1 / 4, 0],
        "gh": [2 / 5, 2 / 5, 1 / 5, 0, 0],
        "mgu@5": pytest.approx((1 / 10 + 2 / 5 + 1 / 20 + 1 / 4) / 5),
        "dgu@5": pytest.approx(1 / 4 + 2 / 5),
    }


def test_parity_by_relevance() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, np.array([-5.0, -1, -4, -2, -2]))["relevance"]
    # Bins: Braid, Doom, Elite (as relevant, later in the catalogue), Civ, Anno. GU: 1/20, 1/4, 0, -2/5, 1/10.
    assert measured == {
        "groups": 5,
        "gp@5": [1 / 4, 1 / 4, 0, 0, 2 / 4],
        "gh": [1 / 5, 0, 0, 2 / 5, 2 / 5],
        "mgu@5": pytest.approx((1 / 20 + 1 / 4 + 2 / 5 + 1 / 10) / 5),
        "dgu@5": pytest.approx(1 / 4 + 2 / 5),
    }


def test_parity_by_category() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, grouped(), None)["category"]
    # A slot of Anno: Strategy 1/4, City 1/4, none 1/2. The histories have item a and item d by themselves.
    # GU: -3/8, 1/40, 1/20, 1/20, 1/4, 0.
    assert measured["groups"] == 6
    assert list(measured["gp_gh@5"]) == ["Strategy", "City", "Puzzle", "", "Shooter", "Space"]
    assert measured["gp_gh@5"] == {
        "Strategy": pytest.approx([2 * 1 / 4 / 4, (1 / 2 + 2) / 5]),
        "City": pytest.approx([2 * 1 / 4 / 4, (1 / 2) / 5]),
        "Puzzle": pytest.approx([1 / 4, 1 / 5]),
        "": pytest.approx([2 * 1 / 2 / 4, 1 / 5]),
        "Shooter": pytest.approx([1 / 4, 0]),
        "Space": pytest.approx([0, 0]),
    }
    assert measured["mgu@5"] == pytest.approx((3 / 8 + 1 / 40 + 1 / 20 + 1 / 20 + 1 / 4) / 6)
    assert measured["dgu@5"] == pytest.approx(1 / 4 + 3 / 8)


def test_cutoffs_count_their_own_slots() -> None:
    measured = ten_letters(rows_of(([0, 2], 0)), list(range(10)))
    # Histories: half in AB, half in CD. The first five letters are AB, CD and E; all ten are two of each bin.
    assert measured["popularity"] == {
        "groups": 5,
        "gp@10": [1 / 5] * 5,
        "gh": [1 / 2, 1 / 2, 0, 0, 0],
        "mgu@5": pytest.approx((1 / 10 + 1 / 10 + 1 / 5) / 5),
        "dgu@5": pytest.approx(1 / 5 + 1 / 10),
        "mgu@10": pytest.approx((3 / 10 + 3 / 10 + 3 / 5) / 5),
        "dgu@10": pytest.approx(1 / 5 + 3 / 10),
    }


def test_spread_counts_the_whole_list_whatever_the_cutoffs() -> None:
    rows = rows_of(([0], 0))
    # Of seven letters the first five fill the groups, all seven the rest: A and B are the head, 10 + 9 + ... + 4 = 49.
    measured = ten_letters(rows, list(range(7)))
    assert measured["coverage"] == 7 / 10
    assert measured["head20_share"] == 2 / 7
    assert measured["average_popularity"] == 49 / 7
    assert measured["popularity"]["gp@5"] == [2 / 5, 2 / 5, 1 / 5, 0, 0]
    assert set(measured["popularity"]) == {"groups", "mgu@5", "dgu@5", "gp@5", "gh"}


def test_a_cutoff_above_the_list_length_is_left_out() -> None:
    measured = ten_letters(rows_of(([0], 0)), [0, 1, 2, 3])
    assert set(measured) == {"head20_share", "coverage", "gini", "average_popularity"}


def test_lists_that_are_the_histories_have_parity() -> None:
    rows = rows_of(([0, 1], 2), ([3, 2, 4], 5))
    lists = np.array([[0, 1, -1, -1, -1], [0, 2, 3, -1, -1]], dtype=np.int32)
    measured = fairness(lists, rows, TRAIN, grouped(), RELEVANCE)
    for grouping in ("popularity", "relevance", "category"):
        assert measured[grouping]["mgu@5"] == pytest.approx(0)
        assert measured[grouping]["dgu@5"] == pytest.approx(0)


def test_shares_add_up_to_one_in_every_grouping() -> None:
    lists, rows = random_lists(30)
    measured = fairness(lists, rows, TRAIN, grouped(), RELEVANCE)
    gp, gh = np.array(list(measured["category"]["gp_gh@5"].values())).T
    assert gp.sum() == pytest.approx(1)
    assert (gp - gh).sum() == pytest.approx(0)
    for grouping in ("popularity", "relevance"):
        assert sum(measured[grouping]["gp@5"]) == pytest.approx(1)
        assert sum(measured[grouping]["gh"]) == pytest.approx(1)


def test_permuting_users_changes_nothing() -> None:
    lists, rows = random_lists(30)
    order = np.random.default_rng(1).permutation(30)
    measured = fairness(lists, rows, TRAIN, grouped(), RELEVANCE)
    assert fairness(lists[order], rows.take(order), TRAIN, grouped(), RELEVANCE) == measured
    # The lists do decide: those of fifteen users are others.
    assert fairness(lists[:15], rows.take(np.arange(15)), TRAIN, grouped(), RELEVANCE) != measured


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3, 3], 0), ([0, 8, 0, 0], 3 / 4), ([1, 3], 1 / 4), ([2, 0, 1], 4 / 9), ([7], 0)],
)
def test_gini(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_bins_are_equal_in_count_and_split_ties_in_catalogue_order() -> None:
    assert equal_count_bins(np.array([0, 9, 0, 7, 0, 0, 7, 0, 0, 0])).tolist() == [1, 0, 2, 0, 2, 3, 1, 3, 4, 4]
    for titles in range(5, 25):
        sizes = np.bincount(equal_count_bins(np.zeros(titles)), minlength=5)
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("titles", "size"), [(1, 1), (5, 1), (6, 2), (10, 2), (35, 7), (36, 8)])
def test_twenty_percent_is_rounded_up(titles: int, size: int) -> None:
    assert np.flatnonzero(top20(np.zeros(titles))).tolist() == list(range(size))


def test_what_is_undefined_is_left_out() -> None:
    no_lists = np.full((2, 10), -1, dtype=np.int32)
    assert fairness(no_lists, ROWS, TRAIN, grouped(), RELEVANCE) == {}
    without_parity = {"head20_share", "coverage", "gini", "average_popularity", "top20_relevance_share"}
    no_histories = rows_of(([], 2), ([], 4))
    assert set(fairness(LISTS, no_histories, TRAIN, grouped(), RELEVANCE)) == without_parity
    four = Items(ids=list("abcd"), titles=list("ABCD"), categories=[["x"]] * 4)
    measured = fairness(LISTS, rows_of(([0], 0), ([1], 0)), rows_of(([0], 1)), four, RELEVANCE[:4])
    assert set(measured) == {*without_parity, "category"}


def test_a_grouping_that_was_not_measured_is_left_out() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, None)
    assert set(measured) == {"head20_share", "coverage", "gini", "average_popularity", "popularity"}
    measured = fairness(LISTS, ROWS, TRAIN, grouped(), RELEVANCE)
    assert {"relevance", "category", "top20_relevance_share"} <= set(measured)
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_nothing_trained_and_nothing_popular_is_still_a_number() -> None:
    measured = fairness(LISTS, ROWS, rows_of(), ITEMS, None)
    assert measured["average_popularity"] == 0
    # With no counts at all the catalogue's order decides: Anno is the head.
    assert measured["head20_share"] == 2 / 4


@pytest.mark.parametrize("relevance", [RELEVANCE[:4], np.zeros(6), np.array([-1, -1, np.nan, -1, -1])])
def test_relevance_of_another_catalogue_is_refused(relevance: np.ndarray) -> None:
    with pytest.raises(InputError, match="one number for each of 5 distinct titles"):
        fairness(LISTS, ROWS, TRAIN, ITEMS, relevance)
