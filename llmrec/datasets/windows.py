"""Windows over users' events: a bounded history and the target that followed it, stride 1."""

import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions


def windows(events: Interactions, min_history: int, max_history: int) -> tuple[Rows, np.ndarray]:
    """One row for every event that has at least `min_history` events of its user before it.

    `events` are ordered by user and time. The history holds the last `max_history` events before the target. Also
    returns int64 [rows]: the position of each row's target among the events.
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
