"""Reads checkpoints, and finds the one from which a training resumes."""

import logging
from pathlib import Path
from typing import Any

import torch

from llmrec.manifest import folder_manifest
from llmrec.training.run_folder import LAST

logger = logging.getLogger(__name__)
KEY = "llmrec_key"
"""Entry of a checkpoint with the key of its training."""
SHARDS = "llmrec_shards"
"""Entry of a checkpoint with the folder of its sharded tensors, see llmrec.training.shards."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint into main memory.

    Tensors are memory-mapped: they are read when they are used, once for all ranks of a machine. In place of sharded
    tensors there are placeholders on the device "meta".
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if SHARDS in checkpoint:
        checkpoint[SHARDS] = str(Path(path).with_name(checkpoint[SHARDS]))
    return checkpoint


def last_checkpoint(folder: Path, key: str) -> Path | None:
    """Returns the checkpoint from which a training resumes; None if there is none of its key.

    Args:
        folder: Folder of the checkpoints.
        key: Key of the training.
    """
    last = folder / LAST
    if not last.exists():
        return None
    manifest = folder_manifest(folder)
    manifest.check(restart(folder), last.name)
    checkpoint = read_checkpoint(last)
    if checkpoint.get(KEY) != key:
        logger.warning("%s is the checkpoint of another training: this one starts from the beginning", last)
        return None
    if SHARDS in checkpoint:
        manifest.check(restart(folder), Path(checkpoint[SHARDS]).name)
    return last


def restart(folder: Path) -> str:
    """Returns what to do about a damaged checkpoint."""
    return f"Delete the folder {folder}: the same command then trains from the beginning"
