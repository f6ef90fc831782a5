"""Collective operations of distributed runs. In a single process they do nothing or return their input."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

MESSAGE_ELEMENTS = 1 << 25
"""Largest number of gradient elements in a message: 128 MiB of float32, which are copied while it is sent."""
Values = TypeVar("Values", bound=np.ndarray | list[Any] | tuple[Any, ...])


def is_rank_zero() -> bool:
    """Returns whether this process is rank 0, which writes files, or the only process."""
    return not _is_distributed() or distributed.get_rank() == 0


def barrier() -> None:
    """Blocks until all ranks have called it (a barrier)."""
    if _is_distributed():
        distributed.barrier()


def all_ranks_agree(holds: bool) -> bool:
    """Returns whether `holds` is true on all ranks.

    Ranks that branch on a condition must agree on it; otherwise one would wait forever in a collective call.
    """
    return all(gather_across_ranks(holds))


def min_across_ranks(value: int) -> int:
    """Returns the minimum of the ranks' values."""
    return min(gather_across_ranks(value))


def any_across_ranks(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Returns for each flag whether it is set on any rank.

    Args:
        flags: As many on every rank.
        device: The training device, on which the ranks communicate.
    """
    if not _is_distributed():
        return list(flags)
    counts = torch.tensor(flags, dtype=torch.int32, device=device)
    distributed.all_reduce(counts)
    return [count > 0 for count in counts.tolist()]


def gather_across_ranks(value: Any) -> list[Any]:
    """Returns the values of all ranks, in the order of the ranks, on every rank."""
    if not _is_distributed():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def map_across_ranks(rows: int, compute: Callable[[np.ndarray], Values]) -> Values:
    """Computes a value for each of the rows 0 to `rows - 1`, divided among the ranks, and gathers all values.

    Args:
        rows: Number of rows.
        compute: Maps row indices, int64 `[n]`, to n values in the same order: an array `[n, ...]` whose other
            dimensions and data type are the same for every call, a list, or a tuple of these.

    Returns:
        The values of all rows in order, in the form that `compute` returns, on every rank.
    """
    if not _is_distributed():
        return compute(np.arange(rows))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    return _in_order(gather_across_ranks(compute(np.arange(rows)[rank::ranks])), rows)


def all_reduce_sums(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sums named values over all ranks. Every rank must pass the same names and shapes."""
    if not _is_distributed():
        return sums
    # One message for all values is faster than one each. float64 represents counts exactly.
    flat = torch.cat([value.double().reshape(-1) for value in sums.values()])
    if not _contributes.get():
        flat.zero_()
    distributed.all_reduce(flat)
    parts = flat.split([value.numel() for value in sums.values()])
    return {name: part.view_as(value).to(value.dtype) for (name, value), part in zip(sums.items(), parts, strict=True)}


@contextmanager
def padding_batch() -> Iterator[None]:
    """Marks a padding batch: within the context, this rank adds zeros to what `all_reduce_sums` sums.

    A rank without rows left in a step runs a padding batch, because collectives need all ranks.
    """
    token = _contributes.set(False)
    try:
        yield
    finally:
        _contributes.reset(token)


def all_reduce_gradients(weights: Sequence[Parameter]) -> None:
    """Sums gradients over all ranks, in place: each rank's loss is its share of the step's.

    Gradients are sent together, up to `MESSAGE_ELEMENTS` in a message. Those of sharded weights are left alone, since
    FSDP has summed them in the backward pass.
    """
    if _is_distributed():
        gradients = [weight.grad for weight in weights if not (weight.grad is None or isinstance(weight, DTensor))]
        for message in _messages(gradients):
            _all_reduce_together(message)


def _messages(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Divides tensors, in order, into messages; a tensor that is larger than a message has one of its own."""
    message: list[Tensor] = []
    for tensor in tensors:
        if message and sum(map(Tensor.numel, message)) + tensor.numel() > MESSAGE_ELEMENTS:
            yield message
            message = []
        message.append(tensor)
    if message:
        yield message


def _all_reduce_together(tensors: Sequence[Tensor]) -> None:
    if len(tensors) == 1:
        distributed.all_reduce(tensors[0])
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _in_order(parts: list[Any], rows: int) -> Any:
    """Merges the ranks' shares in order of rows."""
    if isinstance(parts[0], tuple):
        return tuple(_in_order(list(part), rows) for part in zip(*parts, strict=True))
    merged: Any = [None] * rows
    if isinstance(parts[0], np.ndarray):
        merged = np.zeros((rows, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        merged[rank :: len(parts)] = part
    return merged


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


_contributes = ContextVar("_contributes", default=True)
