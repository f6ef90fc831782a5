"""Checkpoints that are written atomically, so that a killed training leaves no damaged ones."""

import logging
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from llmrec.atomic import atomic_file
from llmrec.manifest import folder_manifest
from llmrec.training.run_folder import LAST

logger = logging.getLogger(__name__)
KEY = "llmrec_key"
"""Entry of a checkpoint with the key of its training."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint into main memory.

    Tensors are memory-mapped: they are read when they are used, once for all ranks of a machine.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
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
    folder_manifest(folder).check(restart(folder), last.name)
    if read_checkpoint(last).get(KEY) == key:
        return last
    logger.warning("%s is the checkpoint of another training: this one starts from the beginning", last)
    return None


def restart(folder: Path) -> str:
    """Returns what to do about a damaged checkpoint."""
    return f"Delete the folder {folder}: the same command then trains from the beginning"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: to a temporary file in the same folder, which is then renamed.

    Lightning's own temporary file is in the system's temporary folder, from which a checkpoint is copied, not renamed,
    to another file system.

    Args:
        key: Key of the training, which every checkpoint carries.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        file = Path(path)
        with folder_manifest(file.parent).recorded(file.name), atomic_file(file) as temporary:
            torch.save(checkpoint | {KEY: self.key}, temporary)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(path)
