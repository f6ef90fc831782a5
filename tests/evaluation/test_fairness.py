"""Fairness of recommended lists, worked out by hand on a catalogue of five titles and on one of ten."""

import json
from dataclasses import replace

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.popularity import title_popularity
from llmrec.errors import InputError
from llmrec.evaluation import fairness as module
from llmrec.evaluation.fairness import bin_shares, gini, top20
from tests.evaluation.small import ITEMS, RELEVANCE, TRAIN, rows_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite.
ROWS = rows_of(([0, 3, 1], 2), ([2, 2], 4))
"""Five entries of histories: Anno once as item a and once as item d, Braid once, Civ twice."""

LISTS = np.array([[0, 1, 3, -1, -1], [0, -1, -1, -1, -1]], dtype=np.int32)
"""Four recommendations: Anno twice, Braid and Doom once."""

CATEGORIES = [["Strategy", "City"], ["Puzzle"], ["Strategy"], [], ["Shooter"], ["Space", "Shooter"]]
"""Of the items a to f: Anno is half Strategy and City (a), half nothing (d)."""

LETTERS = Items(ids=list("abcdefghij"), titles=list("ABCDEFGHIJ"))
LETTERS_TRAIN = rows_of(*[([0], title) for title in range(10) for _ in range(10 - title)])
"""A is in all 55 histories, B a target of nine users, ..., J of one: the bins of popularity are AB, CD, EF, GH, IJ."""


def grouped() -> Items:
    return replace(ITEMS, categories=CATEGORIES)


def fairness(lists: np.ndarray, rows: Rows, train: Rows, items: Items, relevance: np.ndarray | None) -> dict:
    return module.fairness(lists, rows, items, title_popularity(train, items), relevance)


def ten_letters(rows: Rows, *lists: list[int]) -> dict:
    return fairness(np.array(lists, dtype=np.int32), rows, LETTERS_TRAIN, LETTERS, relevance=None)


def random_lists(users: int) -> tuple[np.ndarray, Rows]:
    """Returns random lists of up to five different titles, and random histories."""
    rng = np.random.default_rng(0)
    lists = np.array([rng.permutation(5) for _ in range(users)], dtype=np.int32)
    lists[np.arange(5) >= rng.integers(1, 6, users)[:, None]] = -1
    return lists, rows_of(*[(rng.integers(0, 6, rng.integers(1, 9)).tolist(), 0) for _ in range(users)])


def test_popularity_counts_each_user_once() -> None:
    train = rows_of(([0, 0, 3], 0), ([1], 0))
    again = replace(train, user=np.array(["u0", "u0"]))
    assert title_popularity(train, ITEMS).tolist() == [2, 1, 0, 0, 0]
    assert title_popularity(again, ITEMS).tolist() == [1, 1, 0, 0, 0]
    assert title_popularity(TRAIN, ITEMS).tolist() == [3, 3, 4, 1, 0]


def test_spread() -> None:
    lists = np.array([[0, 1, 3, -1, -1], [2, -1, -1, -1, -1]], dtype=np.int32)
    measured = fairness(lists, ROWS, TRAIN, ITEMS, RELEVANCE)
    # Civ is the most popular fifth of the titles.
    assert measured["head20_share"] == 1 / 4
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, RELEVANCE)
    assert measured["head20_share"] == 0
    assert measured["coverage"] == 3 / 5
    assert measured["average_popularity"] == (2 * 3 + 1 * 3 + 1 * 1) / 4
    # Sorted counts 0, 0, 1, 1, 2 with weights -4, -2, 0, 2, 4: (2 * 1 + 4 * 2) / (5 * 4).
    assert measured["gini"] == 10 / 20
    # Braid and Doom are equally relevant: half of each makes up the fifth.
    assert measured["top20_relevance_share"] == (1 / 2 + 1 / 2) / 4


def test_parity_by_popularity() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, None)["popularity"]
    # Bins: Civ; Anno and Braid, equally popular, by halves in two; Doom; Elite. Both items of Anno count.
    # GU: -2/5, 3/40, 3/40, 1/4, 0.
    assert measured == {
        "groups": 5,
        "gp@5": pytest.approx([0, 3 / 8, 3 / 8, 1 / 4, 0]),
        "gh": pytest.approx([2 / 5, 3 / 10, 3 / 10, 0, 0]),
        "mgu@5": pytest.approx((2 / 5 + 3 / 40 + 3 / 40 + 1 / 4) / 5),
        "dgu@5": pytest.approx(1 / 4 + 2 / 5),
    }


def test_parity_by_relevance() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, ITEMS, np.array([-5.0, -1, -4, -2, -2]))["relevance"]
    # Bins: Braid; Doom and Elite, equally relevant, by halves in two; Civ; Anno. GU: 1/20, 1/8, 1/8, -2/5, 1/10.
    assert measured == {
        "groups": 5,
        "gp@5": pytest.approx([1 / 4, 1 / 8, 1 / 8, 0, 2 / 4]),
        "gh": pytest.approx([1 / 5, 0, 0, 2 / 5, 2 / 5]),
        "mgu@5": pytest.approx((1 / 20 + 1 / 8 + 1 / 8 + 2 / 5 + 1 / 10) / 5),
        "dgu@5": pytest.approx(1 / 8 + 2 / 5),
    }


def test_parity_by_category() -> None:
    measured = fairness(LISTS, ROWS, TRAIN, grouped(), None)["category"]
    # A recommendation of Anno: Strategy 1/4, City 1/4, none 1/2. The histories have item a and item d by themselves.
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
    # Of seven letters the first five fill the groups, all seven the rest: A and B are the head; 55 + 9 + ... + 4 = 94.
    measured = ten_letters(rows, list(range(7)))
    assert measured["coverage"] == 7 / 10
    assert measured["head20_share"] == 2 / 7
    assert measured["average_popularity"] == 94 / 7
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
    # The result does depend on the lists: those of fifteen users differ.
    assert fairness(lists[:15], rows.take(np.arange(15)), TRAIN, grouped(), RELEVANCE) != measured


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3, 3], 0), ([0, 8, 0, 0], 3 / 4), ([1, 3], 1 / 4), ([2, 0, 1], 4 / 9), ([7], 0)],
)
def test_gini(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_bins_hold_a_fifth_of_the_titles_each_and_share_their_ties() -> None:
    shares = bin_shares(np.array([0, 9, 0, 7, 0, 0, 7, 0, 0, 0]))
    # Sorted positions 0 | 1, 2 | 3 to 9 in bins of two.
    assert shares[1].tolist() == [1, 0, 0, 0, 0]
    assert shares[3].tolist() == shares[6].tolist() == [1 / 2, 1 / 2, 0, 0, 0]
    assert shares[0] == pytest.approx([0, 1 / 7, 2 / 7, 2 / 7, 2 / 7])
    for titles in range(5, 25):
        shares = bin_shares(np.arange(titles) % 7)
        assert shares.sum(axis=0) == pytest.approx(titles / 5)
        assert shares.sum(axis=1) == pytest.approx(1)


def test_a_title_that_an_edge_cuts_is_in_both_bins() -> None:
    # Six titles in bins of 6/5.
    assert top20(np.array([6, 5, 4, 3, 2, 1])) == pytest.approx([1, 1 / 5, 0, 0, 0, 0])


def test_the_order_of_the_catalogue_changes_nothing() -> None:
    lists, rows = random_lists(30)
    order = np.random.default_rng(2).permutation(6)
    place = np.argsort(order)
    items = Items([ITEMS.ids[i] for i in order], [ITEMS.titles[i] for i in order])
    title = {name: number for number, name in enumerate(items.distinct_titles)}
    moved_title = np.array([title[name] for name in ITEMS.distinct_titles])
    moved_lists = np.where(lists >= 0, moved_title[lists], -1).astype(np.int32)
    relevance = np.empty(5)
    relevance[moved_title] = RELEVANCE
    here, there = (replace(part, history=place[part.history], target=place[part.target]) for part in (rows, TRAIN))
    assert items.titles != ITEMS.titles
    measured = fairness(lists, rows, TRAIN, ITEMS, RELEVANCE)
    moved = fairness(moved_lists, here, there, items, relevance)
    for grouping in ("popularity", "relevance"):
        one, other = measured.pop(grouping), moved.pop(grouping)
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert other[key] == pytest.approx(value), key
    assert moved == pytest.approx(measured)


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
    # If all counts are 0, one fifth of each title is in the head.
    assert measured["head20_share"] == pytest.approx(1 / 5)


@pytest.mark.parametrize("relevance", [RELEVANCE[:4], np.zeros(6), np.array([-1, -1, np.nan, -1, -1])])
def test_relevance_of_another_catalogue_is_refused(relevance: np.ndarray) -> None:
    with pytest.raises(InputError, match="one number for each of 5 distinct titles"):
        fairness(LISTS, ROWS, TRAIN, ITEMS, relevance)
