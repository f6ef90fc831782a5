"""Sharded tensors of a checkpoint, which each rank writes for itself and any number of ranks can read.

Such a checkpoint is a file, like any other, and a folder beside it. The folder holds the shards of weights and
optimizer state in the format safetensors, as torch.distributed.checkpoint writes them; the file holds everything else,
with placeholders for these tensors, and the folder's name. Of two names the folder takes the one that the present
checkpoint does not use. So the new checkpoint replaces the former one at the moment at which its file does, and a
training that is killed before leaves the former one.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from llmrec.atomic import disk_error
from llmrec.collectives import gather_across_ranks, is_rank_zero
from llmrec.errors import InputError, shortened
from llmrec.manifest import folder_manifest
from llmrec.training.checkpoints import SHARDS, read_checkpoint, restart

FILE_BYTES = 2**30
"""About the largest size of a file. A rank copies the tensors of a file into main memory before it writes them."""
Tensors = dict[str, Tensor]


def write_shards(checkpoint: dict[str, Any], file: Path) -> dict[str, Any]:
    """Writes the sharded tensors of a checkpoint. All ranks must call it.

    Args:
        checkpoint: Checkpoint with weights and optimizer state.
        file: The checkpoint's file, not yet replaced.

    Returns:
        The content of the file.

    Raises:
        InputError: The folder cannot be written, or the disk is full.
    """
    folder = _unused_folder(file)
    tensors = _tensors(checkpoint)
    shards = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, DTensor)}
    try:
        with _errors_of_ranks():
            writer = dcp.HuggingFaceStorageWriter(str(folder), _file_numbers(shards), save_distributed=True)
            dcp.save(shards, storage_writer=writer)
    except Exception as error:
        unwritable = disk_error(error, folder)
        if unwritable is None:
            raise
        raise unwritable from error
    _record(folder)
    placeholders = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in shards.items()
    }
    return _with_tensors(checkpoint, tensors | placeholders) | {SHARDS: folder.name}


def read_shards(checkpoint: Mapping[str, Any], tensors: Tensors, target: Callable[[str], Tensor]) -> Tensors:
    """Reads the tensors in whose place a checkpoint has placeholders. All ranks must call it.

    Args:
        checkpoint: The checkpoint, as `read_checkpoint` returns it.
        tensors: Some of its tensors by name.
        target: Returns the tensor, whole or sharded in any way, into which that of a name is read.

    Returns:
        The tensors, with the targets in place of the placeholders.

    Raises:
        InputError: A file of the folder is damaged.
    """
    read = {name: target(name) for name, tensor in tensors.items() if tensor.is_meta}
    if not read:
        return tensors
    folder = Path(checkpoint[SHARDS])
    try:
        with _errors_of_ranks(), warnings.catch_warnings():
            # A single process has no process group, and needs none.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            dcp.load(read, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
    except Exception as error:
        reason = shortened((str(error) or type(error).__name__).splitlines()[0], 200)
        raise InputError(f"{folder} is damaged ({reason}). {restart(folder.parent)}") from error
    return tensors | read


def read_whole(file: Path) -> dict[str, Any]:
    """Reads a checkpoint for a model that is not sharded: all tensors are whole."""
    checkpoint = read_checkpoint(file)
    if SHARDS not in checkpoint:
        return checkpoint
    tensors = _tensors(checkpoint)
    return _with_tensors(
        checkpoint, read_shards(checkpoint, tensors, lambda name: torch.empty_like(tensors[name], device="cpu"))
    )


def remove_shards(file: Path, kept: str | None) -> None:
    """Removes folders of shards beside a checkpoint's file, but for the one that it uses."""
    names = [folder.name for folder in file.parent.glob(f"{file.stem}.shards-*") if folder.name != kept]
    if names:
        with folder_manifest(file.parent).recorded(*names):
            for name in names:
                shutil.rmtree(file.with_name(name))


def by_weight(state: Mapping[int, Mapping[str, Tensor]]) -> Tensors:
    """Returns an optimizer's state by names of the form "<index of the weight>.<name>"."""
    return {f"{index}.{name}": tensor for index, tensors in state.items() for name, tensor in tensors.items()}


def _unused_folder(file: Path) -> Path:
    """Returns the folder that the checkpoint in `file` does not use. What a killed training left there is removed."""
    used = Path(read_checkpoint(file).get(SHARDS, "")).name if file.exists() else ""
    if is_rank_zero():
        remove_shards(file, kept=used)
    first, second = (f"{file.stem}.shards-{number}" for number in (1, 2))
    return file.with_name(gather_across_ranks(second if used == first else first)[0])


def _file_numbers(shards: Mapping[str, DTensor]) -> dict[str, int]:
    """Divides tensors among a rank's files, numbered from 1."""
    numbers, size = {}, 0
    for name, tensor in shards.items():
        size += tensor.to_local().nbytes
        numbers[name] = 1 + size // FILE_BYTES
    return numbers


def _record(folder: Path) -> None:
    """Records the checksums of a folder, of which each rank computes those of its own files."""
    manifest = folder_manifest(folder.parent)
    # torch names the files of a rank by its number, counted from 1.
    files = folder.glob(f"shard-{distributed.get_rank() + 1:05d}-*")
    ranks = gather_across_ranks(manifest.entries(*(f"{folder.name}/{file.name}" for file in files)))
    if is_rank_zero():
        manifest.add({name: entry for entries in ranks for name, entry in entries.items()})


@contextmanager
def _errors_of_ranks() -> Iterator[None]:
    """Raises the error of a rank instead of torch's CheckpointException, which is no Exception."""
    try:
        yield
    except dcp.CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from error


def _tensors(checkpoint: Mapping[str, Any]) -> Tensors:
    """Returns the weights and the optimizer's state of a checkpoint by name."""
    (optimizer,) = checkpoint["optimizer_states"]
    return {**checkpoint["state_dict"], **by_weight(optimizer["state"])}


def _with_tensors(checkpoint: dict[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Returns a checkpoint with other tensors, named as by `_tensors`."""
    (optimizer,) = checkpoint["optimizer_states"]
    state = {index: {name: tensors[f"{index}.{name}"] for name in names} for index, names in optimizer["state"].items()}
    weights = {name: tensors[name] for name in checkpoint["state_dict"]}
    return checkpoint | {"state_dict": weights, "optimizer_states": [optimizer | {"state": state}]}
