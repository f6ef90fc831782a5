"""Sliding windows over users' events with stride 1: a bounded history and the target that followed it."""

import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions


def windows(events: Interactions, min_history: int, max_history: int) -> tuple[Rows, np.ndarray]:
    """Makes one row for each event that has at least `min_history` earlier events of its user.

    Args:
        events: Events ordered by user and time.
        min_history: Minimum number of events before a target.
        max_history: Maximum length of a history, which holds the latest events.

    Returns:
        The rows, and the position of each row's target in `events`, int64 [rows].
    """
    starts_user = np.r_[True, events.user[1:] != events.user[:-1]]
    first = np.maximum.accumulate(np.where(starts_user, np.arange(len(events)), 0))
    before = np.arange(len(events)) - first
    target = np.flatnonzero(before >= min_history)
    length = np.minimum(before[target], max_history)
    offsets = np.r_[0, np.cumsum(length)]
    flat = np.arange(offsets[-1]) + np.repeat(target - length - offsets[:-1], length)
    rows = Rows(
        user=events.user_ids[events.user[target]],
        history=events.item[flat],
        offsets=offsets,
        target=events.item[target],
        timestamp=events.timestamp[target],
    )
    return rows, target
