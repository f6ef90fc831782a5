"""Checkpoints that are written atomically, so that a killed training leaves no damaged ones."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from llmrec.atomic import atomic_file

CHECKPOINTS = "checkpoints"
"""Folder of a run with the checkpoints from which an interrupted training resumes."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint into main memory.

    Tensors are memory-mapped: they are read when they are used, once for all ranks of a machine.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: to a temporary file in the same folder, which is then renamed.

    Lightning's own temporary file is in the system's temporary folder, from which a checkpoint is copied, not renamed,
    to another file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(path)
