"""Moves the tensors of a batch to the training device in few copies, which the host does not wait for."""

from collections.abc import Sequence

import torch
from torch import Tensor


def move_together(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Moves tensors to a device, all of one data type in a single copy.

    Args:
        tensors: On one device, at least one.
        device: Where to move them. Copies to a GPU are asynchronous, from pinned memory; without it the host would
            wait until the GPU has done all that it was given before.

    Returns:
        The tensors in the same order. Those of one data type are views of one tensor.
    """
    target = torch.device(device)
    if tensors[0].device.type == target.type:
        return list(tensors)
    moved: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        which = [number for number, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[number].reshape(-1) for number in which])
        flat = flat.pin_memory() if target.type == "cuda" else flat
        parts = flat.to(target, non_blocking=target.type == "cuda").split([tensors[n].numel() for n in which])
        moved |= {number: part.view(tensors[number].shape) for number, part in zip(which, parts, strict=True)}
    return [moved[number] for number in range(len(tensors))]
