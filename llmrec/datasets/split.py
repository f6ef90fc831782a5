"""Splits by global time, and the checks that splits given as files must pass."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError

SPLITS = ("train", "valid", "test")
RowKey = tuple[str, bytes, int, int]


def global_time_split(timestamp: np.ndarray, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the train, valid and test rows, each in order of time.

    timestamp: int64 [n] of the rows' targets. Train takes the first floor(n * shares[0]) rows, train and valid
    together the first floor(n * (shares[0] + shares[1])). Rows of equal timestamp keep their order, so one timestamp
    may stand on both sides of a cut, as in the published sets.
    """
    order = np.argsort(timestamp, kind="stable")
    # The small number absorbs float error: 0.1 + 0.2 of 10 rows is 3 rows.
    first, second = (int(len(order) * share + 1e-6) for share in (shares[0], shares[0] + shares[1]))
    return order[:first], order[first:second], order[second:]


def hold_out_latest(timestamp: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows kept and of those held out: the latest floor(n * share), but at least one.

    Rows of equal timestamp keep their order in the file, so of those at the cut the later ones are held out. Both
    parts keep the file's order.
    """
    order = np.argsort(timestamp, kind="stable")
    held = max(1, int(len(order) * share + 1e-6))
    return np.sort(order[:-held]), np.sort(order[-held:])


def row_keys(rows: Rows) -> list[RowKey]:
    """What makes two rows the same: user, history, target and timestamp."""
    bounds = zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True)
    histories = [rows.history[start:end].tobytes() for start, end in bounds]
    return list(zip(rows.user.tolist(), histories, rows.target.tolist(), rows.timestamp.tolist(), strict=True))


def check_splits(splits: Sequence[tuple[Path, Rows]]) -> None:
    """Raises InputError where one row stands in two splits, or a split starts strictly before the one before it ends.

    splits: (file, rows) in order of time. A boundary timestamp shared by neighbours is fine.
    """
    seen: dict[RowKey, tuple[Path, int]] = {}
    for path, rows in splits:
        keys = row_keys(rows)
        for index, key in enumerate(keys):
            if key in seen:
                other, row = seen[key]
                raise InputError(
                    f"{path}, row {index + 2}: the same user, items and timestamp as {other}, row {row}; the splits "
                    "overlap. Remove the row from one of them"
                )
        seen |= {key: (path, index + 2) for index, key in enumerate(keys)}
    for (earlier, before), (later, after) in itertools.pairwise(splits):
        start = int(after.timestamp.argmin())
        if after.timestamp[start] < before.timestamp.max():
            end = int(before.timestamp.argmax())
            raise InputError(
                f"{later}, row {start + 2}: timestamp {after.timestamp[start]} lies before the end of {earlier} "
                f"({before.timestamp[end]}, row {end + 2}). Move the rows so that splits follow each other in time"
            )
