"""Splits rows by global time or by leaving each user's last events out, and checks splits that are given as files."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError

RowKey = tuple[str, bytes, int, int]


def global_time_split(timestamp: np.ndarray, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits rows by the time of their targets.

    Train has the first floor(n * shares[0]) rows, train and valid together have the first
    floor(n * (shares[0] + shares[1])). Rows of equal timestamp keep their order, so that a timestamp may occur on both
    sides of a boundary, as in the published datasets.

    Args:
        timestamp: Time of each row's target, int64 [n].
        shares: Fractions of train, valid and test.

    Returns:
        Positions of the train, valid and test rows, each in order of time, int64.
    """
    order = np.argsort(timestamp, kind="stable")
    # The added constant absorbs rounding errors: 0.7 + 0.1 of 10 rows is 7.999..., but must give 8 rows.
    first, second = (int(len(order) * share + 1e-6) for share in (shares[0], shares[0] + shares[1]))
    return order[:first], order[first:second], order[second:]


def leave_one_out(
    user: np.ndarray, target: np.ndarray, timestamp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits rows by the position of their target among its user's events.

    The last event of each user is the target of a test row, the one before it of a validation row, and all others are
    targets of training rows. An event with too short a history has no row, so that a user with few events may have a
    test row alone, or none. This is RecBole's split LS, mode valid_and_test, with group_by=user and order=TO.

    Args:
        user: User of each event, ordered by user and time, int [events].
        target: Position of each row's target among these events, int64 [rows].
        timestamp: Time of each row's target, int64 [rows].

    Returns:
        Positions of the train, valid and test rows, each in order of time, int64.
    """
    last = np.flatnonzero(np.append(user[1:] != user[:-1], True))
    events_after = last[np.searchsorted(last, target)] - target
    order = np.argsort(timestamp, kind="stable")
    after = events_after[order]
    return order[after > 1], order[after == 1], order[after == 0]


def hold_out_latest(timestamp: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Holds out the latest floor(n * share) rows, but at least one.

    Of rows with equal timestamps at the boundary, those later in the file are held out.

    Args:
        timestamp: Time of each row's target, int64 [n].
        share: Fraction of rows to hold out.

    Returns:
        Positions of the remaining rows and of the held-out rows, both in file order, int64.
    """
    order = np.argsort(timestamp, kind="stable")
    count = max(1, int(len(order) * share + 1e-6))
    return np.sort(order[:-count]), np.sort(order[-count:])


def row_keys(rows: Rows) -> list[RowKey]:
    """Returns a key of each row; rows with equal user, history, target and timestamp have equal keys."""
    bounds = zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True)
    histories = [rows.history[start:end].tobytes() for start, end in bounds]
    return list(zip(rows.user.tolist(), histories, rows.target.tolist(), rows.timestamp.tolist(), strict=True))


def check_splits(splits: Sequence[tuple[Path, Rows]]) -> None:
    """Checks that splits do not overlap and follow each other in time.

    Args:
        splits: The file and the rows of each split, in order of time.

    Raises:
        InputError: If a row occurs in two splits, or a split starts before the preceding one ends. Adjacent splits may
            share a timestamp.
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
