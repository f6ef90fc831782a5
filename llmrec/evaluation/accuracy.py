"""Accuracy metrics for one relevant title per row: NDCG, hit rate and MRR, computed from ranks."""

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.errors import InputError
from llmrec.evaluation.significance import clustered_standard_error, has_several

NDCG_CUTOFFS = (5, 10)
HR_CUTOFFS = (1, 5, 10)
MRR_CUTOFFS = (10,)


def title_ranks(recommended: np.ndarray, target_title: np.ndarray) -> np.ndarray:
    """Returns the position of the target's title in each list.

    Any item with the target's title is a hit, as in the papers.

    Args:
        recommended: Distinct titles, best first, int32 [rows, K]; -1 = no more.
        target_title: The target's distinct title, int32 [rows].

    Returns:
        int32 [rows], 1-based; 0 = absent.
    """
    hits = recommended == target_title[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


def item_ranks(recommended: np.ndarray, target: np.ndarray, items: Items) -> np.ndarray:
    """Returns the position of the target item if each recommended title is replaced by its items in catalogue order.

    Args:
        recommended: As in `title_ranks`.
        target: The target items, int32 [rows].
        items: The catalogue.

    Returns:
        int32 [rows], 1-based; 0 = absent. Never better than the rank by title.
    """
    ranks = title_ranks(recommended, items.title_of[target])
    hits = ranks > 0
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    before = np.arange(recommended.shape[1]) < ranks[hits, None] - 1
    items_before = np.where(before, items_of_title[recommended[hits]], 0).sum(axis=1)
    ranks[hits] = items_before + _position_in_title(items)[target[hits]]
    return ranks


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """Returns NDCG@k per row, float64 [rows].

    With one relevant item, it is 1 / log2(1 + rank) for ranks up to k and 0 otherwise.
    """
    return np.where(hit(ranks, k), 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0)


def hit(ranks: np.ndarray, k: int) -> np.ndarray:
    """Returns whether each row's target is among the first k, bool [rows]."""
    return (ranks > 0) & (ranks <= k)


def reciprocal_rank(ranks: np.ndarray, k: int) -> np.ndarray:
    """Returns 1 / rank per row for ranks up to k and 0 otherwise, float64 [rows]."""
    return np.where(hit(ranks, k), 1 / np.maximum(ranks, 1), 0.0)


def accuracy(ranks: np.ndarray, users: np.ndarray, list_length: int) -> dict[str, float]:
    """Averages the accuracy metrics over rows.

    Args:
        ranks: int [rows], 1-based; 0 = absent.
        users: The user of each row, str or int [rows].
        list_length: Number of titles recommended for each row.

    Returns:
        ndcg@5, ndcg@10 and its standard error clustered by user (ndcg@10_se), hr@1, hr@5, hr@10 and mrr@10. Metrics
        with a cut-off above list_length are omitted, and so is the standard error if there is only one user.

    Raises:
        InputError: If there are no rows.
    """
    if len(ranks) == 0:
        raise InputError("Cannot average metrics: there are no rows. Evaluate a split that has rows.")
    means = {f"ndcg@{k}": ndcg(ranks, k).mean() for k in NDCG_CUTOFFS if k <= list_length}
    if list_length >= 10 and has_several(users):
        means["ndcg@10_se"] = clustered_standard_error(ndcg(ranks, 10), users)
    means |= {f"hr@{k}": hit(ranks, k).mean() for k in HR_CUTOFFS if k <= list_length}
    means |= {f"mrr@{k}": reciprocal_rank(ranks, k).mean() for k in MRR_CUTOFFS if k <= list_length}
    return {name: float(mean) for name, mean in means.items()}


def _position_in_title(items: Items) -> np.ndarray:
    """Returns int64 [items]: 1 for the first item of a title in catalogue order, 2 for the second, and so on."""
    by_title = np.argsort(items.title_of, kind="stable")
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    first = np.cumsum(items_of_title) - items_of_title
    position = np.empty(len(items), dtype=np.int64)
    position[by_title] = np.arange(len(items)) - np.repeat(first, items_of_title) + 1
    return position
