"""Interactions of users with items, from which rows are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Interactions:
    """Interaction events in any order; `by_user_and_time` gives the order from which windows are made.

    Attributes:
        user_ids: ID of each user, Python strings [users].
        user: User of each event as an index into `user_ids`, int32 [n].
        item: Item index of each event, int32 [n].
        timestamp: Unix seconds, int64 [n].
        rating: float32 [n], or None if the dataset has no ratings.
        rating_problem: Why the ratings in the data are not used (file, row and value); None if nothing is wrong.
        time_units: Number of the file's times by unit (see `Times`); empty if the layout fixes it.
    """

    user_ids: np.ndarray
    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    rating: np.ndarray | None = None
    rating_problem: str | None = None
    time_units: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item)

    def take(self, index: np.ndarray) -> "Interactions":
        """Returns the events at `index` (int positions or a boolean mask), in that order."""
        rating = None if self.rating is None else self.rating[index]
        return replace(
            self, user=self.user[index], item=self.item[index], timestamp=self.timestamp[index], rating=rating
        )

    def by_user_and_time(self) -> np.ndarray:
        """Returns the positions sorted by user, then timestamp, then position in the file (for ties), int64 [n]."""
        start = self.timestamp.min(initial=0)
        seconds = int(self.timestamp.max(initial=0)) - int(start) + 1
        if seconds * len(self.user_ids) >= 2**63:
            return np.lexsort((self.timestamp, self.user))
        # One number for user and time, whose sort takes half as long as that of two keys.
        return np.argsort(self.user.astype(np.int64) * seconds + (self.timestamp - start), kind="stable")
