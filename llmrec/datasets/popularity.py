"""How popular titles are in a set of rows, and the ranking by popularity."""

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows


def title_popularity(train: Rows, items: Items) -> np.ndarray:
    """How many users have a title in train, as a target or in a history: int64 [distinct titles].

    Targets alone, which the popularity floor counts, leave two thirds of the titles of a sampled train file at 0.
    """
    user = np.unique(train.user, return_inverse=True)[1]
    holders = np.concatenate([user, user[train.history_row]])
    titles = items.title_of[np.concatenate([train.target, train.history])]
    pairs = np.unique(holders.astype(np.int64) * len(items.distinct_titles) + titles)
    return np.bincount(pairs % len(items.distinct_titles), minlength=len(items.distinct_titles))


def target_counts(train: Rows, items: Items) -> np.ndarray:
    """How many rows have a title as their target: int64 [distinct titles]; items of equal title are summed."""
    return np.bincount(items.title_of[train.target], minlength=len(items.distinct_titles))


def recommend_popular(rows: Rows, train: Rows, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """Ranks titles by how often they are a target in train; see `rank_by_count` for shapes."""
    return rank_by_count(rows, target_counts(train, items), items, k, exclude_history)


def rank_by_count(rows: Rows, count: np.ndarray, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """Ranks titles by a count that is the same for every row.

    Args:
        rows: The rows whose users get recommendations.
        count: Of each distinct title, int64 [distinct titles].
        items: The catalogue.
        k: Titles to recommend to a row.
        exclude_history: Whether titles of the row's own history are left out, so that the next ones move up.

    Returns:
        int32 [rows, k], distinct titles, best first; -1 where there are no more.
    """
    longest_history = int(np.diff(rows.offsets).max(initial=0)) if exclude_history else 0
    # Ties go to the title that comes first in the catalogue.
    popular = np.argsort(-count, kind="stable")[: k + longest_history].astype(np.int32)
    left_out = np.zeros((len(rows), len(popular)), dtype=bool)
    if exclude_history:
        place = np.full(len(items.distinct_titles), -1)
        place[popular] = np.arange(len(popular))
        column = place[items.title_of[rows.history]]
        left_out[rows.history_row[column >= 0], column[column >= 0]] = True
    # A stable sort of the marks keeps the order of popularity and moves what is left out behind it.
    order = np.argsort(left_out, axis=1, kind="stable")[:, :k]
    chosen = np.where(np.take_along_axis(left_out, order, axis=1), -1, popular[order])
    recommended = np.full((len(rows), k), -1, dtype=np.int32)
    recommended[:, : chosen.shape[1]] = chosen
    return recommended
