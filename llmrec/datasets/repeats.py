"""Finds rows with equal keys."""

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, as in Fibonacci hashing."""


def candidates(*keys: np.ndarray) -> np.ndarray:
    """Returns the positions of rows whose keys are all equal to those of another row, and by chance of a few others.

    Comparing only these exactly is much faster than comparing all rows.

    Args:
        keys: Keys of the rows, each numbers [rows].

    Returns:
        Positions, ascending, int64.
    """
    mixed = np.zeros(len(keys[0]), dtype=np.uint64)
    for key in keys:
        mixed ^= np.ascontiguousarray(key, dtype=np.float64 if key.dtype.kind == "f" else np.int64).view(np.uint64)
        mixed *= _MULTIPLIER
        mixed ^= mixed >> np.uint64(32)
    ordered = np.sort(mixed)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.zeros(0, dtype=np.int64)
    found = np.searchsorted(twice, mixed).clip(max=len(twice) - 1)
    return np.flatnonzero(twice[found] == mixed)


def group_sizes(*keys: np.ndarray) -> np.ndarray:
    """Returns the number of rows in each group of at least two rows whose keys are all equal, int64 [groups]."""
    kept = candidates(*keys)
    order = kept[np.lexsort([key[kept] for key in keys])]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    sizes = np.diff(np.append(np.flatnonzero(is_new), len(order)))
    return sizes[sizes > 1]


def run_starts(*keys: np.ndarray) -> np.ndarray:
    """Returns where the run of equal keys that contains each position starts, int64 [n]."""
    changes = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        changes |= key[1:] != key[:-1]
    is_start = np.r_[True, changes][: len(keys[0])]
    return np.maximum.accumulate(np.where(is_start, np.arange(len(is_start)), 0))
