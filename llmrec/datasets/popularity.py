"""Popularity of titles in a set of rows, and the ranking by popularity."""

from typing import TYPE_CHECKING

import numpy as np

from llmrec.catalogue.items import Items

if TYPE_CHECKING:
    from llmrec.datasets.dataset import Rows


def title_popularity(train: "Rows", items: Items) -> np.ndarray:
    """Counts the users who have each title in train, as a target or in a history.

    Targets alone, which the popularity baseline counts, leave two thirds of the titles of a sampled train file at 0.

    Returns:
        int64 [distinct titles].
    """
    users = np.concatenate([train.user_number, train.user_number[train.history_row]])
    titles = items.title_of[np.concatenate([train.target, train.history])]
    # np.unique takes five times as long for millions of pairs.
    pairs = np.sort(users.astype(np.int64) * len(items.distinct_titles) + titles)
    distinct = pairs[np.diff(pairs, prepend=-1) > 0]
    return np.bincount(distinct % len(items.distinct_titles), minlength=len(items.distinct_titles))


def target_counts(train: "Rows", items: Items) -> np.ndarray:
    """Counts the rows that have each title as their target, int64 [distinct titles].

    The counts of items that share a title are summed.
    """
    return np.bincount(items.title_of[train.target], minlength=len(items.distinct_titles))


def recommend_popular(rows: "Rows", train: "Rows", items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """Ranks titles by how often they are a target in train (see `rank_by_count`)."""
    return rank_by_count(rows, target_counts(train, items), items, k, exclude_history)


def rank_by_count(rows: "Rows", count: np.ndarray, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """Ranks titles by a count that is the same for every row.

    Args:
        rows: The rows to recommend titles for.
        count: Count of each title, int64 [distinct titles].
        items: The catalogue.
        k: Number of titles to recommend for each row.
        exclude_history: Whether to exclude titles of the row's own history; the next titles move up.

    Returns:
        Distinct titles, best first, -1 where there are no more: int32 [rows, k].
    """
    longest_history = int(np.diff(rows.offsets).max(initial=0)) if exclude_history else 0
    # Ties go to the title that comes first in the catalogue.
    popular = np.argsort(-count, kind="stable")[: k + longest_history].astype(np.int32)
    is_excluded = np.zeros((len(rows), len(popular)), dtype=bool)
    if exclude_history:
        column_of_title = np.full(len(items.distinct_titles), -1)
        column_of_title[popular] = np.arange(len(popular))
        column = column_of_title[items.title_of[rows.history]]
        is_excluded[rows.history_row[column >= 0], column[column >= 0]] = True
    # A stable sort keeps the order of popularity and moves excluded titles to the end.
    order = np.argsort(is_excluded, axis=1, kind="stable")[:, :k]
    ranked = np.where(np.take_along_axis(is_excluded, order, axis=1), -1, popular[order])
    recommended = np.full((len(rows), k), -1, dtype=np.int32)
    recommended[:, : ranked.shape[1]] = ranked
    return recommended
