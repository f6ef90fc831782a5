"""The popularity floor: everybody is recommended what was most often a target in training."""

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows


def popular_titles(train: Rows, items: Items, k: int) -> np.ndarray:
    """The k titles that are most often a train target, best first: int32 [min(k, distinct titles)].

    The counts of items with the same title are summed; ties go to the title that comes first in the catalogue.
    """
    count = np.bincount(items.title_of[train.target], minlength=len(items.distinct_titles))
    return np.argsort(-count, kind="stable")[:k].astype(np.int32)


def recommend_popular(rows: Rows, train: Rows, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """The k most popular titles for each row: int32 [rows, k], distinct-title indices best first, -1 = no more.

    With exclude_history, titles of the row's own history are left out and the next popular ones move up.
    """
    longest_history = int(np.diff(rows.offsets).max(initial=0)) if exclude_history else 0
    popular = popular_titles(train, items, k + longest_history)
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
