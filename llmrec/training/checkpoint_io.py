"""Checkpoints that are written atomically, so that a killed training leaves no damaged ones."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from llmrec.atomic import atomic_file
from llmrec.manifest import folder_manifest
from llmrec.training.checkpoints import KEY, SHARDS
from llmrec.training.shards import read_whole, remove_shards


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
        """Writes a checkpoint and removes the shards of the one that it replaces.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        file = Path(path)
        with folder_manifest(file.parent).recorded(file.name), atomic_file(file) as temporary:
            torch.save(checkpoint | {KEY: self.key}, temporary)
        remove_shards(file, kept=checkpoint.get(SHARDS))

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return read_whole(Path(path))
