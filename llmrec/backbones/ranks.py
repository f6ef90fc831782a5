"""Work that several ranks divide among themselves before training: each takes a share, all get the whole."""

from collections.abc import Callable

import numpy as np
from torch import distributed


def on_all_ranks(holds: bool) -> bool:
    """Whether something holds on every rank: they must take the same way, or one would wait for the others forever."""
    if not _several():
        return holds
    answers: list[bool | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(answers, holds)
    return all(answers)


def divided(rows: int, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What `compute` gives for rows 0 .. rows - 1, this rank computing only its share.

    compute: row numbers int64 [n] -> array [n, ...] of one shape and type but for n. The result is in order of rows.
    """
    if not _several():
        return compute(np.arange(rows))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    parts: list[np.ndarray] = [np.zeros(0)] * ranks
    distributed.all_gather_object(parts, compute(np.arange(rows)[rank::ranks]))
    whole = np.zeros((rows, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for other, part in enumerate(parts):
        whole[other::ranks] = part
    return whole


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
