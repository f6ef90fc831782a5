"""Accuracy by slices of rows, defined by properties of their targets and histories."""

from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.evaluation.accuracy import accuracy

HISTORY_BINS = (1, 4, 7, 10)
"""Lower bounds of the bins of history length, in items: 1-3, 4-6, 7-9, 10+."""

POPULARITY_BINS = (0, 1, 5, 20)
"""Lower bounds of the bins of target counts, the number of training rows with the item as target: 0, 1-4, 5-19, 20+."""


def slices(rows: Rows, train: Rows, items: Items) -> dict[str, np.ndarray]:
    """Returns boolean masks [rows] by name.

    cold: the target item occurs nowhere in train, neither as a target nor in a history; warm: it does. repeated: the
    target is in the row's own history; new: it is not. history_*: bins of history length in items. popularity_*: bins
    of the number of training rows with the target item as target.
    """
    trained = np.zeros(len(items), dtype=bool)
    trained[train.history] = True
    trained[train.target] = True
    warm = trained[rows.target]
    repeated = _repeated_target(rows)
    train_count = np.bincount(train.target, minlength=len(items))[rows.target]
    return {
        "warm": warm,
        "cold": ~warm,
        "repeated": repeated,
        "new": ~repeated,
        **_bins("history", np.diff(rows.offsets), HISTORY_BINS),
        **_bins("popularity", train_count, POPULARITY_BINS),
    }


def by_slice(
    ranks: np.ndarray, users: np.ndarray, masks: dict[str, np.ndarray], list_length: int
) -> dict[str, dict[str, Any]]:
    """Computes the accuracy of each slice, beside its numbers of rows and users. Slices without rows have no metrics.

    Args:
        ranks: int [rows], 1-based; 0 = absent.
        users: The user of each row, numbered as in `Rows.user_number`, int [rows].
        masks: bool [rows] by name.
        list_length: Number of titles recommended for each row.
    """
    return {name: _slice_metrics(ranks[mask], users[mask], list_length) for name, mask in masks.items()}


def _slice_metrics(ranks: np.ndarray, users: np.ndarray, list_length: int) -> dict[str, Any]:
    counts = {"rows": len(ranks), "users": int(np.count_nonzero(np.bincount(users)))}
    return counts | accuracy(ranks, users, list_length) if len(ranks) else counts


def _repeated_target(rows: Rows) -> np.ndarray:
    history_row = rows.history_row
    same = rows.history == rows.target[history_row]
    return np.bincount(history_row[same], minlength=len(rows)) > 0


def _bins(name: str, values: np.ndarray, lower_bounds: tuple[int, ...]) -> dict[str, np.ndarray]:
    masks = {}
    for low, upper in zip(lower_bounds, (*lower_bounds[1:], None), strict=True):
        if upper is None:
            masks[f"{name}_{low}+"] = values >= low
        else:
            label = f"{low}" if upper == low + 1 else f"{low}-{upper - 1}"
            masks[f"{name}_{label}"] = (values >= low) & (values < upper)
    return masks
