"""Checkpoints that a kill leaves whole."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from llmrec.atomic import atomic_file

CHECKPOINTS = "checkpoints"
"""The folder in a cell for what an interrupted training goes on from."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds, tensors in main memory: read when they are used, once for all ranks of a machine."""
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then moves it there.

    Lightning writes to the system's temporary folder, from where another file system is reached only by copying.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises InputError when the folder cannot be written or the disk is full."""
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """As `read_checkpoint`."""
        return read_checkpoint(path)
