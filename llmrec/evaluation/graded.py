"""Metrics for re-ranking candidates with graded relevance: NDCG, position sensitivity, and Borda count.

A ranking is an int array `order` [lists, m]: candidate numbers, best first, a permutation of 0..m-1 in each row.
"""

import numpy as np

from llmrec.errors import InputError


def order_by_scores(scores: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """Ranks candidates by score, highest first.

    Equal scores are ordered by the title's position in the catalogue, so that the presentation order has no effect.

    Args:
        scores: [lists, m].
        titles: The candidates' distinct titles, int [lists, m].

    Returns:
        Positions of the candidates in the stored order, best first, int64 [lists, m].
    """
    return np.lexsort((titles, -scores.astype(np.float64)))


def graded_ndcg(order: np.ndarray, gains: np.ndarray, cutoff: int) -> np.ndarray:
    """Computes NDCG@cutoff per list: DCG with discount 1 / log2(1 + position), divided by the DCG of the ideal ranking.

    Source: graded gain 2^rating - 1, from a secondary source of arXiv 2403.19181.

    Args:
        order: int [lists, m].
        gains: Gain of each candidate by number, float [lists, m]: 2^rating - 1, 0 for sampled negatives.
        cutoff: Number of positions that count, at least 1; above m, all count.

    Returns:
        float64 [lists], 0 to 1.

    Raises:
        InputError: If a list has no gain above 0, because its NDCG is undefined.
    """
    without_gain = ~(gains > 0).any(axis=1)
    if without_gain.any():
        raise InputError(
            f"NDCG is undefined: list {without_gain.argmax()} has no candidate with a gain above 0. "
            "Exclude lists without a rated candidate."
        )
    ideal = -np.sort(-gains, axis=1)
    return _dcg(np.take_along_axis(gains, order, axis=1), cutoff) / _dcg(ideal, cutoff)


def kendall_tau(orders: np.ndarray) -> np.ndarray:
    """Computes Kendall's tau per list, averaged over all pairs of rankings.

    Source: Kendall's tau over permutations of the candidates is our reading.

    Args:
        orders: int [permutations, lists, m], without ties.

    Returns:
        float64 [lists]; 1 = all rankings are equal. Two rankings give -1 to 1. More than two rankings cannot all be
        reversals of each other, so the minimum of their mean is above -1.

    Raises:
        InputError: If there are fewer than two rankings or fewer than two candidates.
    """
    permutations, lists, candidates = orders.shape
    if permutations < 2 or candidates < 2:
        raise InputError(
            f"Kendall's tau needs at least two rankings of at least two candidates, got {permutations} of {candidates}."
            " Rank the same candidates under more presentation orders."
        )
    first, second = np.triu_indices(candidates, k=1)
    # Of each pair of candidates: the number of rankings with the first above the second, minus the number with it
    # below. Rankings are added one at a time, because all p at once would need p times the memory.
    margin = np.zeros((lists, len(first)), dtype=np.int64)
    for position in _positions(orders):
        margin += np.sign(position[:, second] - position[:, first])
    # margin^2 is the sum of agreements over all ordered pairs of rankings, p of which pair a ranking with itself.
    agreement = (margin**2 - permutations) / (permutations * (permutations - 1))
    tau: np.ndarray = agreement.mean(axis=1)
    return tau


def position_sensitivity(orders: np.ndarray, gains: np.ndarray, cutoff: int) -> dict[str, np.ndarray]:
    """Measures how much rankings of the same candidates vary with the order of presentation.

    Source: standard deviation and Kendall's tau over permutations of the candidates are our reading.

    Args:
        orders: int [permutations, lists, m]; candidates have the same numbers in all presentation orders.
        gains: As in `graded_ndcg`.
        cutoff: As in `graded_ndcg`.

    Returns:
        ndcg_std: Population standard deviation of NDCG@cutoff over the rankings, float64 [lists]; 0 = insensitive.
        kendall_tau: See `kendall_tau`, float64 [lists]; 1 = insensitive.

    Raises:
        InputError: As `graded_ndcg` and `kendall_tau`.
    """
    ndcg = np.stack([graded_ndcg(order, gains, cutoff) for order in orders])
    return {"ndcg_std": ndcg.std(axis=0), "kendall_tau": kendall_tau(orders)}


def borda(orders: np.ndarray) -> np.ndarray:
    """Merges n rankings into one by Borda count: position 1 of m gives m - 1 points, position m gives 0.

    Args:
        orders: int [n, lists, m], n at least 1. A single ranking is returned unchanged.

    Returns:
        int64 [lists, m]. Candidates with equal points are ordered as in the first ranking.
    """
    positions = _positions(orders)
    # The most points are the smallest sum of positions. lexsort takes the primary key last.
    return np.lexsort((positions[0], positions.sum(axis=0)), axis=-1)


def _dcg(ranked_gains: np.ndarray, cutoff: int) -> np.ndarray:
    """Returns float64 [lists] from the gains in ranked order, [lists, m]."""
    counted = ranked_gains[:, :cutoff]
    dcg: np.ndarray = counted @ (1 / np.log2(np.arange(2, 2 + counted.shape[1])))
    return dcg


def _positions(orders: np.ndarray) -> np.ndarray:
    """Returns the 0-based position of each candidate by number, int64 [..., m]: the inverse of each permutation."""
    return np.argsort(orders, axis=-1)
