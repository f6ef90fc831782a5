"""The record of ranked candidate lists: graded NDCG with standard errors, and position sensitivity."""

from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.fitted_rows import fitted_rows
from llmrec.datasets.lists import Lists
from llmrec.datasets.popularity import target_counts
from llmrec.evaluation.graded import graded_ndcg, position_sensitivity
from llmrec.evaluation.significance import clustered_standard_error

CUTOFFS = (1, 3, 5, 10)


def list_record(orders: np.ndarray, lists: Lists, dataset: Dataset, split: str) -> tuple[dict[str, Any], pa.Table]:
    """Computes the metrics of one split of task rerank, and a table with one row per list.

    Args:
        orders: Rankings, int [orders, lists, m], as positions in the stored order, best first. orders[0] ranks the
            lists as stored; the others rank the same candidates shown in other orders.
        lists: The candidate lists.
        dataset: The dataset.
        split: "valid" or "test".

    Returns:
        The metrics and the table, whose rows are in the order of the lists. The metrics include those of the popularity
        baseline (`popular_order`) and the expected NDCG of a random order. Position sensitivity is included if there
        are at least two orders.
    """
    gains = lists.gains
    metrics: dict[str, Any] = {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "lists": len(lists),
        "users": len(np.unique(lists.rows.user)),
        "candidates": lists.candidates.shape[1],
        "by_list": accuracies(orders[0], lists),
        "popularity_baseline": accuracies(popular_order(lists, dataset, split), lists),
        "random_order": {f"ndcg@{k}": float(random_ndcg(gains, k).mean()) for k in CUTOFFS},
    }
    columns: dict[str, Any] = {"list": np.arange(len(lists)), "user": pa.array(lists.rows.user.tolist(), pa.string())}
    columns |= _candidates(orders[0], lists, dataset)
    columns |= {f"ndcg@{k}": graded_ndcg(orders[0], gains, k) for k in CUTOFFS}
    if len(orders) > 1:
        sensitivity = position_sensitivity(orders, gains, 10)
        mean_ndcg = np.mean([graded_ndcg(order, gains, 10) for order in orders], axis=0)
        metrics["position"] = {"orders": len(orders), "ndcg@10": float(mean_ndcg.mean())}
        metrics["position"] |= {name: float(values.mean()) for name, values in sensitivity.items()}
        columns |= sensitivity
    return metrics, pa.table(columns)


def accuracies(order: np.ndarray, lists: Lists) -> dict[str, float]:
    """Returns means over lists of NDCG@1, 3, 5 and 10.

    ndcg@1_se and ndcg@10_se are standard errors clustered by user; they are omitted if there is only one user.
    """
    values = {f"ndcg@{k}": graded_ndcg(order, lists.gains, k) for k in CUTOFFS}
    means = {name: float(value.mean()) for name, value in values.items()}
    if len(np.unique(lists.rows.user)) > 1:
        means |= {f"{k}_se": clustered_standard_error(values[k], lists.rows.user) for k in ("ndcg@1", "ndcg@10")}
    return means


def popular_order(lists: Lists, dataset: Dataset, split: str) -> np.ndarray:
    """Ranks candidates by how often their title is a target in the split's `fitted_rows`; see `order_by_scores`."""
    counts = target_counts(fitted_rows(dataset, "full", split), dataset.items)
    return order_by_scores(counts[dataset.items.title_of[lists.candidates]], lists, dataset)


def order_by_scores(scores: np.ndarray, lists: Lists, dataset: Dataset) -> np.ndarray:
    """Ranks candidates by score, highest first.

    Equal scores are ordered by the title's position in the catalogue, so that the presentation order has no effect.

    Args:
        scores: [lists, m].
        lists: The candidate lists.
        dataset: The dataset.

    Returns:
        Positions of the candidates in the stored order, best first, int64 [lists, m].
    """
    return np.lexsort((dataset.items.title_of[lists.candidates], -scores.astype(np.float64)))


def random_ndcg(gains: np.ndarray, cutoff: int) -> np.ndarray:
    """Returns the expected NDCG@cutoff of a random order, float64 [lists].

    In expectation, every position has the list's mean gain.
    """
    discount = 1 / np.log2(2 + np.arange(min(cutoff, gains.shape[1])))
    ideal = -np.sort(-gains, axis=1)[:, : len(discount)] @ discount
    expected: np.ndarray = gains.mean(axis=1) * discount.sum() / ideal
    return expected


def _candidates(order: np.ndarray, lists: Lists, dataset: Dataset) -> dict[str, pa.Array]:
    """Returns the ids and the relevance of each list's candidates in ranked order."""
    ids, size = pa.array(dataset.items.ids, pa.string()), order.shape[1]
    ranked, relevance = (np.take_along_axis(part, order, 1).ravel() for part in (lists.candidates, lists.relevance))
    return {
        "ranked": pa.FixedSizeListArray.from_arrays(ids.take(pa.array(ranked)), size),
        "relevance": pa.FixedSizeListArray.from_arrays(pa.array(relevance), size),
    }
