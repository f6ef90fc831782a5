"""How popular a title is: how many users have it in train."""

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
