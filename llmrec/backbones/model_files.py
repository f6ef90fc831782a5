"""Locates the files of a saved model."""

from pathlib import Path

from huggingface_hub import snapshot_download

from llmrec.backbones.saved_files import first_line
from llmrec.errors import InputError

DOWNLOADED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Files that are downloaded from a hub: weights, tokenizer and settings, but no code."""


def model_folder(name: str) -> Path:
    """Returns the folder of a saved model, which is downloaded from the hub if `name` is no local folder.

    Args:
        name: A local folder or a hub name.

    Raises:
        InputError: If `name` is neither a folder nor the name of a model that can be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(DOWNLOADED_FILES)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name} is no folder, and no model of that name can be downloaded from the hub ({first_line(error)}). "
            "Give the folder of a saved model"
        ) from error
