"""Re-ranking of graded candidates, worked out by hand."""

from itertools import combinations, permutations
from math import log2

import numpy as np
import pytest

from llmrec.errors import InputError
from llmrec.evaluation.graded import borda, graded_ndcg, kendall_tau, position_sensitivity


def ints(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def floats(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def random_orders(rankings: int, lists: int, candidates: int) -> np.ndarray:
    identity = np.tile(np.arange(candidates), (rankings, lists, 1))
    return np.random.default_rng(0).permuted(identity, axis=-1)


def random_gains(lists: int, candidates: int) -> np.ndarray:
    """Returns gains of ratings 1 to 5 and two negatives; candidate 0 has rating 5, so that every list has a gain."""
    gains = 2.0 ** np.random.default_rng(1).integers(1, 6, (lists, candidates)) - 1
    gains[:, 0] = 31
    gains[:, -2:] = 0
    return gains


def test_ndcg_by_hand() -> None:
    # Ratings 2 and 1 for candidates 0 and 2, negatives beside them. Discounts: 1, 1 / log2(3), 1 / 2, 1 / log2(5).
    gains = floats(*[[3, 0, 1, 0]] * 4)
    order = ints([0, 2, 1, 3], [0, 1, 2, 3], [1, 0, 2, 3], [1, 3, 2, 0])
    ideal = 3 + 1 / log2(3)
    expected = [1, (3 + 1 / 2) / ideal, (3 / log2(3) + 1 / 2) / ideal, (1 / 2 + 3 / log2(5)) / ideal]
    assert graded_ndcg(order, gains, 4) == pytest.approx(expected)
    assert graded_ndcg(order, gains, 9) == pytest.approx(expected)


def test_ndcg_counts_the_first_positions_of_the_ranking_and_of_the_ideal() -> None:
    gains = floats(*[[3, 0, 1, 7]] * 3)
    order = ints([3, 0, 2, 1], [0, 3, 2, 1], [1, 2, 0, 3])
    assert graded_ndcg(order, gains, 1) == pytest.approx([1, 3 / 7, 0])
    assert graded_ndcg(order, gains, 2)[2] == pytest.approx((1 / log2(3)) / (7 + 3 / log2(3)))


def test_each_list_has_its_own_ideal() -> None:
    gains = floats([1, 0, 0], [0, 0, 31])
    assert graded_ndcg(ints([1, 2, 0], [2, 1, 0]), gains, 3) == pytest.approx([1 / 2, 1])


def test_of_all_rankings_the_ideal_is_best_and_its_reverse_worst() -> None:
    every = np.array(list(permutations(range(4))))
    ndcg = graded_ndcg(every, np.tile(floats(1, 7, 3, 0), (len(every), 1)), 4)
    assert every[ndcg.argmax()].tolist() == [1, 2, 0, 3]
    assert every[ndcg.argmin()].tolist() == [3, 0, 2, 1]
    assert ndcg.max() == pytest.approx(1)


def test_a_list_without_gain_is_an_error_that_names_the_first() -> None:
    gains = floats([1, 0], [0, 0], [0, 1], [0, 0])
    with pytest.raises(InputError, match="list 1 has no candidate with a gain above 0"):
        graded_ndcg(ints(*[[0, 1]] * 4), gains, 2)


def test_tau_by_hand() -> None:
    # Between 0 1 2 and 1 0 2 one of three pairs is turned round: (2 - 1) / 3.
    assert kendall_tau(ints([[0, 1, 2]], [[1, 0, 2]])) == pytest.approx([1 / 3])
    # With 2 1 0 as the third: 1/3, -1, and between 1 0 2 and 2 1 0 two of three are turned round: -1/3.
    assert kendall_tau(ints([[0, 1, 2]], [[1, 0, 2]], [[2, 1, 0]])) == pytest.approx([(1 / 3 - 1 - 1 / 3) / 3])


def test_tau_of_identical_and_of_reversed_rankings() -> None:
    order = random_orders(1, 50, 26)[0]
    assert kendall_tau(np.stack([order] * 5)) == pytest.approx(np.ones(50))
    assert kendall_tau(np.stack([order, order[:, ::-1]])) == pytest.approx(-np.ones(50))


def test_tau_is_the_mean_over_pairs_of_rankings_of_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    orders = random_orders(5, 20, 9)
    positions = np.argsort(orders, axis=-1)
    expected = [
        np.mean([stats.kendalltau(a, b).statistic for a, b in combinations(positions[:, row], 2)]) for row in range(20)
    ]
    assert kendall_tau(orders) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 1)])
def test_tau_needs_two_rankings_and_two_candidates(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least two"):
        kendall_tau(random_orders(*shape))


def test_position_sensitivity_by_hand() -> None:
    # List 0: the relevant candidate comes first, then third: NDCG 1 and 1/2; two of three pairs are turned round.
    # List 1: the same ranking twice.
    orders = ints([[0, 1, 2], [2, 0, 1]], [[1, 2, 0], [2, 0, 1]])
    measured = position_sensitivity(orders, floats([1, 0, 0], [1, 0, 0]), 3)
    assert set(measured) == {"ndcg_std", "kendall_tau"}
    assert measured["ndcg_std"] == pytest.approx([1 / 4, 0])
    assert measured["kendall_tau"] == pytest.approx([-1 / 3, 1])


def test_borda_by_hand() -> None:
    # Points of list 0: 2 + 0 + 1, 1 + 2 + 2, 0 + 1 + 0. List 1: 2 + 2 + 0, 1 + 1 + 2, 0 + 0 + 1; 0 and 1 are tied.
    orders = ints([[0, 1, 2], [0, 1, 2]], [[1, 2, 0], [0, 1, 2]], [[1, 0, 2], [1, 2, 0]])
    assert borda(orders).tolist() == [[1, 0, 2], [0, 1, 2]]


def test_borda_breaks_ties_as_the_first_ranking_has_it() -> None:
    # Candidates 0 and 2 have 3 points each; in the cycle all have 3.
    two = ints([[2, 0, 1]], [[0, 2, 1]])
    assert borda(two).tolist() == [[2, 0, 1]]
    assert borda(two[::-1]).tolist() == [[0, 2, 1]]
    assert borda(ints([[1, 2, 0]], [[2, 0, 1]], [[0, 1, 2]])).tolist() == [[1, 2, 0]]


def test_borda_of_one_ranking_is_that_ranking() -> None:
    orders = random_orders(1, 50, 26)
    assert borda(orders).tolist() == orders[0].tolist()


def test_relabelling_the_candidates_changes_nothing() -> None:
    orders, gains = random_orders(5, 50, 9), random_gains(50, 9)
    relabelled = np.random.default_rng(2).permutation(9)
    gains_relabelled = np.empty_like(gains)
    gains_relabelled[:, relabelled] = gains
    before = position_sensitivity(orders, gains, 5)
    after = position_sensitivity(relabelled[orders], gains_relabelled, 5)
    assert after["ndcg_std"] == pytest.approx(before["ndcg_std"])
    assert after["kendall_tau"] == pytest.approx(before["kendall_tau"])
    assert graded_ndcg(relabelled[orders[0]], gains_relabelled, 5) == pytest.approx(graded_ndcg(orders[0], gains, 5))
    assert borda(relabelled[orders]).tolist() == relabelled[borda(orders)].tolist()
