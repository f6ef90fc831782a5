"""Work that the ranks of a distributed run share: who is first, what they agree on, passes that they divide."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import distributed

Found = TypeVar("Found", bound=np.ndarray | list[Any] | tuple[Any, ...])


def is_first() -> bool:
    """Whether this process is the one that writes: rank 0, or the only one."""
    return not _several() or distributed.get_rank() == 0


def wait_for_all() -> None:
    """Comes back when every rank has come here."""
    if _several():
        distributed.barrier()


def on_all_ranks(holds: bool) -> bool:
    """Whether something holds on every rank: they must take the same way, or one would wait for the others forever."""
    if not _several():
        return holds
    answers: list[bool | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(answers, holds)
    return all(answers)


def least_on_all_ranks(value: int) -> int:
    """The smallest of the ranks' values, where all must do with the same."""
    if not _several():
        return value
    values: list[int] = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return min(values)


def divided(rows: int, compute: Callable[[np.ndarray], Found]) -> Found:
    """What `compute` gives for rows 0 .. rows - 1, this rank computing only its share.

    compute: row numbers int64 [n] -> n values in their order: an array [n, ...] of one shape and type but for n, a
    list, or a tuple of such. The result is in order of rows.
    """
    if not _several():
        return compute(np.arange(rows))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    parts: list[Any] = [None] * ranks
    distributed.all_gather_object(parts, compute(np.arange(rows)[rank::ranks]))
    return _in_order(parts, rows)


def _in_order(parts: list[Any], rows: int) -> Any:
    """One whole from the shares of the ranks."""
    if isinstance(parts[0], tuple):
        return tuple(_in_order(list(part), rows) for part in zip(*parts, strict=True))
    whole: Any = [None] * rows
    if isinstance(parts[0], np.ndarray):
        whole = np.zeros((rows, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for other, part in enumerate(parts):
        whole[other :: len(parts)] = part
    return whole


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
