"""The files of a saved model: where they are, and what tells them from others without opening the model."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download

from llmrec.backbones.pretrained import first_line
from llmrec.errors import InputError
from llmrec.file_hash import file_hash

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""What is fetched of a hub's model: weights, tokenizer and settings; no code."""


def model_folder(name: str) -> Path:
    """Returns the folder of a saved model, fetched from the hub where `name` is not a folder.

    Raises:
        InputError: If there is neither a folder nor a model of that name on the hub.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name} is no folder, and no model of that name can be fetched from the hub ({first_line(error)}). Give "
            "the folder of a saved model"
        ) from error


def files_hash(folder: Path, patterns: Iterable[str], cache_dir: Path) -> str:
    """Returns a hash of the names and contents of files; each is read once as long as it does not change.

    Args:
        folder: The folder of a model.
        patterns: Of the files, as `Path.glob` takes them.
        cache_dir: The cache of llmrec.
    """
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_hash(file, cache_dir)}\n".encode())
    return digest.hexdigest()
