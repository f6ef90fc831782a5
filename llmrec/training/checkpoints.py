"""Checkpoints that a kill leaves whole."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from llmrec.atomic import atomic_file

CHECKPOINTS = "checkpoints"
"""The folder in a cell for what an interrupted training goes on from."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then moves it there.

    Lightning writes to the system's temporary folder, from where another file system is reached only by copying.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises InputError when the folder cannot be written or the disk is full."""
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
