"""Sliding windows over users' events with stride 1: a bounded history and the target that followed it."""

from dataclasses import dataclass

import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.repeats import run_starts

ROWS_AT_A_TIME = 1 << 18
"""Rows whose histories are made together. The positions of their items take twice the memory of the items."""


@dataclass(frozen=True)
class Windows:
    """The windows of events that are ordered by user and time.

    Attributes:
        events: The events.
        target: Position of each window's target among them, ascending, int64 [windows].
        length: Number of events in each window's history, which ends before the target, int64 [windows].
    """

    events: Interactions
    target: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    @property
    def timestamp(self) -> np.ndarray:
        """Time of each window's target in unix seconds, int64 [windows]."""
        return self.events.timestamp[self.target]

    def rows(self, index: np.ndarray) -> Rows:
        """Makes rows of the windows at `index` (int positions), whose users are indices into `events.user_ids`."""
        target, length = self.target[index], self.length[index]
        offsets = np.concatenate([[0], np.cumsum(length)])
        history = np.empty(offsets[-1], dtype=np.int32)
        for start in range(0, len(index), ROWS_AT_A_TIME):
            part = slice(start, start + ROWS_AT_A_TIME)
            first, last = offsets[start], offsets[min(start + ROWS_AT_A_TIME, len(index))]
            shift = np.repeat(target[part] - length[part] - offsets[:-1][part], length[part])
            history[first:last] = self.events.item[np.arange(first, last) + shift]
        return Rows(self.events.user[target], history, offsets, self.events.item[target], self.events.timestamp[target])


def windows(events: Interactions, min_history: int, max_history: int) -> Windows:
    """Finds the window of each event that has at least `min_history` earlier events of its user.

    Args:
        events: Events ordered by user and time.
        min_history: Minimum number of events before a target.
        max_history: Maximum length of a history, which holds the latest events.
    """
    before = np.arange(len(events)) - run_starts(events.user)
    target = np.flatnonzero(before >= min_history)
    return Windows(events, target, np.minimum(before[target], max_history))
