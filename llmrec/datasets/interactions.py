"""Single events of users and items, the raw material of windows."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interactions:
    """n events, in any order; `by_user_and_time` gives the order that windows are made from.

    user_ids: str array [users]; user: int32 index into user_ids [n]; item: int32 item index [n]; timestamp: int64 unix
    seconds [n]; rating: float32 [n], or None where the set has none.
    """

    user_ids: np.ndarray
    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    rating: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.item)

    def take(self, index: np.ndarray) -> "Interactions":
        """The events at `index` (int positions or a boolean mask), in that order."""
        rating = None if self.rating is None else self.rating[index]
        return Interactions(self.user_ids, self.user[index], self.item[index], self.timestamp[index], rating)

    def by_user_and_time(self) -> np.ndarray:
        """int64 [n]: the order by user, then timestamp, then place in the file (the rule for ties)."""
        return np.lexsort((self.timestamp, self.user))
