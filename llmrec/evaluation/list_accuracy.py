"""Graded NDCG of ranked candidate lists with standard errors, and the rankings of simple baselines."""

import numpy as np

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.fitted_rows import fitted_rows
from llmrec.datasets.lists import Lists
from llmrec.datasets.popularity import target_counts
from llmrec.evaluation.graded import graded_ndcg, order_by_scores
from llmrec.evaluation.significance import clustered_standard_error, has_several

CUTOFFS = (1, 3, 5, 10)


def list_accuracy(order: np.ndarray, lists: Lists) -> dict[str, float]:
    """Returns means over lists of NDCG@1, 3, 5 and 10.

    ndcg@1_se and ndcg@10_se are standard errors clustered by user; they are omitted if there is only one user.
    """
    values = {f"ndcg@{k}": graded_ndcg(order, lists.gains, k) for k in CUTOFFS}
    means = {name: float(value.mean()) for name, value in values.items()}
    users = lists.rows.user_number
    if has_several(users):
        means |= {f"{k}_se": clustered_standard_error(values[k], users) for k in ("ndcg@1", "ndcg@10")}
    return means


def popular_order(titles: np.ndarray, dataset: Dataset, split: str) -> np.ndarray:
    """Ranks candidates by how often their title is a target in the split's `fitted_rows`.

    Args:
        titles: The candidates' distinct titles, int [lists, m].
        dataset: The dataset.
        split: "valid" or "test".

    Returns:
        See `order_by_scores`.
    """
    counts = target_counts(fitted_rows(dataset, "full", split), dataset.items)
    return order_by_scores(counts[titles], titles)


def random_ndcg(gains: np.ndarray, cutoff: int) -> np.ndarray:
    """Returns the expected NDCG@cutoff of a random order, float64 [lists].

    In expectation, every position has the list's mean gain.
    """
    discount = 1 / np.log2(2 + np.arange(min(cutoff, gains.shape[1])))
    ideal = -np.sort(-gains, axis=1)[:, : len(discount)] @ discount
    expected: np.ndarray = gains.mean(axis=1) * discount.sum() / ideal
    return expected
