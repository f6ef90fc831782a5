"""Re-ranking of graded candidates: how good a ranking is, how far it hangs on the order shown, and a vote of several.

Throughout, a ranking is `order`, int [lists, m]: candidate numbers best first, a permutation of 0..m-1 in each row.
"""

import numpy as np

from llmrec.errors import InputError


def graded_ndcg(order: np.ndarray, gains: np.ndarray, cutoff: int) -> np.ndarray:
    """NDCG@cutoff per list: DCG with discount 1 / log2(1 + position) over the DCG of the list's ideal ranking.

    order: int [lists, m]; gains: float [lists, m], of each candidate by number: 2^rating - 1, 0 for sampled negatives;
    cutoff: positions that count, at least 1; above m, all count. Returns float64 [lists], 0 to 1.
    Raises InputError when a list has no gain above 0, since its NDCG is undefined.
    Source: graded gain 2^rating - 1 by a secondary source of arXiv 2403.19181.
    """
    without_gain = ~(gains > 0).any(axis=1)
    if without_gain.any():
        raise InputError(
            f"list {without_gain.argmax()} has no candidate with a gain above 0, so its NDCG is undefined: "
            "leave out lists without a rated candidate"
        )
    ideal = -np.sort(-gains, axis=1)
    return _dcg(np.take_along_axis(gains, order, axis=1), cutoff) / _dcg(ideal, cutoff)


def kendall_tau(orders: np.ndarray) -> np.ndarray:
    """Kendall's tau per list, the mean over all pairs of rankings: float64 [lists], 1 = all alike.

    orders: int [permutations, lists, m], without ties. Two rankings give -1 to 1; p rankings cannot all be opposite,
    so their least mean is above -1.
    Raises InputError for fewer than two rankings or two candidates, where there is nothing to compare.
    Source: tau over permutations of the candidates: our reading.
    """
    permutations, lists, candidates = orders.shape
    if permutations < 2 or candidates < 2:
        raise InputError(
            f"Kendall's tau compares at least two rankings of at least two candidates, got {permutations} of "
            f"{candidates}: rank the same candidates under more orders of presentation"
        )
    first, second = np.triu_indices(candidates, k=1)
    # How many rankings have the first of two candidates above the second, less how many have it below. One ranking at
    # a time, since all of them at once would need p times the memory.
    margin = np.zeros((lists, len(first)), dtype=np.int64)
    for position in _positions(orders):
        margin += np.sign(position[:, second] - position[:, first])
    # margin^2 is the sum of agreements over all ordered pairs of rankings; p of them are of a ranking with itself.
    agreement = (margin**2 - permutations) / (permutations * (permutations - 1))
    tau: np.ndarray = agreement.mean(axis=1)
    return tau


def position_sensitivity(orders: np.ndarray, gains: np.ndarray, cutoff: int) -> dict[str, np.ndarray]:
    """How far rankings of the same candidates, shown in different orders, differ: "ndcg_std" and "kendall_tau".

    orders: int [permutations, lists, m], in the same candidate numbers whatever the order of presentation; gains,
    cutoff: as in `graded_ndcg`. Both float64 [lists]: the population standard deviation of NDCG@cutoff over the
    rankings, 0 = insensitive, and `kendall_tau`, 1 = insensitive. Raises InputError as those two do.
    Source: std and tau over permutations of the candidates are our reading.
    """
    ndcg = np.stack([graded_ndcg(order, gains, cutoff) for order in orders])
    return {"ndcg_std": ndcg.std(axis=0), "kendall_tau": kendall_tau(orders)}


def borda(orders: np.ndarray) -> np.ndarray:
    """One ranking from n by the sum of Borda points, m - 1 for the first place of m down to 0: int64 [lists, m].

    orders: int [n, lists, m], n at least 1; one ranking is given back as it is. Equal sums stand as in the first
    ranking.
    """
    positions = _positions(orders)
    # Most points is the least sum of positions; lexsort takes its main key last.
    return np.lexsort((positions[0], positions.sum(axis=0)), axis=-1)


def _dcg(ranked_gains: np.ndarray, cutoff: int) -> np.ndarray:
    """float64 [lists] from gains in the order of a ranking, [lists, m]."""
    counted = ranked_gains[:, :cutoff]
    dcg: np.ndarray = counted @ (1 / np.log2(np.arange(2, 2 + counted.shape[1])))
    return dcg


def _positions(orders: np.ndarray) -> np.ndarray:
    """int64 [..., m]: the position, from 0, of each candidate by number; the inverse of each permutation."""
    return np.argsort(orders, axis=-1)
