"""How well lists of recommended titles place the one relevant title: ranks per user first, means after."""

import math

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.errors import InputError

NDCG_CUTOFFS = (5, 10)
HR_CUTOFFS = (1, 5, 10)
MRR_CUTOFFS = (10,)


def title_ranks(recommended: np.ndarray, target_title: np.ndarray) -> np.ndarray:
    """Position of the target's title in each list, as the papers count it: any item of that title is a hit.

    recommended: int32 [users, K], distinct-title indices best first, -1 = no more; target_title: int32 [users].
    Returns int32 [users], 1-based, 0 = absent.
    """
    hits = recommended == target_title[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


def item_ranks(recommended: np.ndarray, target: np.ndarray, items: Items) -> np.ndarray:
    """Position of the target item when each recommended title stands for all its items in catalogue order.

    recommended: as in `title_ranks`; target: int32 [users], item indices.
    Returns int32 [users], 1-based, 0 = absent; never better than the rank by title.
    """
    ranks = title_ranks(recommended, items.title_of[target])
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    before = np.arange(recommended.shape[1]) < ranks[:, None] - 1
    items_before = np.where(before, items_of_title[recommended], 0).sum(axis=1)
    return np.where(ranks > 0, items_before + _place_in_title(items)[target], 0).astype(np.int32)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k per user, float64 [users]: with one relevant item, 1 / log2(1 + rank) within k, otherwise 0."""
    return np.where(hit(ranks, k), 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0)


def hit(ranks: np.ndarray, k: int) -> np.ndarray:
    """Whether each user's target stands among the first k, bool [users]."""
    return (ranks > 0) & (ranks <= k)


def reciprocal_rank(ranks: np.ndarray, k: int) -> np.ndarray:
    """1 / rank per user within k, otherwise 0; float64 [users]."""
    return np.where(hit(ranks, k), 1 / np.maximum(ranks, 1), 0.0)


def accuracy(ranks: np.ndarray, list_length: int) -> dict[str, float]:
    """Means over users: ndcg@5, ndcg@10 with its standard error (ndcg@10_se), hr@1, hr@5, hr@10, mrr@10.

    ranks: int [users], 1-based, 0 = absent; list_length: titles recommended to each user. Cut-offs above it are left
    out, since a list of five has no HR@10; so is the standard error of a single user.
    Raises InputError when there are no users.
    """
    if len(ranks) == 0:
        raise InputError("there are no users to average a metric over: evaluate a split that has rows")
    means = {f"ndcg@{k}": ndcg(ranks, k).mean() for k in NDCG_CUTOFFS if k <= list_length}
    if list_length >= 10 and len(ranks) > 1:
        means["ndcg@10_se"] = ndcg(ranks, 10).std(ddof=1) / math.sqrt(len(ranks))
    means |= {f"hr@{k}": hit(ranks, k).mean() for k in HR_CUTOFFS if k <= list_length}
    means |= {f"mrr@{k}": reciprocal_rank(ranks, k).mean() for k in MRR_CUTOFFS if k <= list_length}
    return {name: float(mean) for name, mean in means.items()}


def _place_in_title(items: Items) -> np.ndarray:
    """int64 [items]: 1 for the first item of a title in catalogue order, 2 for the second, ..."""
    by_title = np.argsort(items.title_of, kind="stable")
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    first = np.cumsum(items_of_title) - items_of_title
    place = np.empty(len(items), dtype=np.int64)
    place[by_title] = np.arange(len(items)) - np.repeat(first, items_of_title) + 1
    return place
