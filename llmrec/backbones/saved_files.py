"""Checks the files of a saved model in a local folder before the model is opened, and names those that are damaged."""

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from llmrec.errors import InputError

LFS_POINTER = b"version https://git-lfs"
"""First bytes of a pointer file, whose content git-lfs has not fetched."""
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth")
"""Names of weights in pickles, which can run code when they are opened."""
AGAIN = "Download or save it again"


def local_folder(path: str) -> Path | None:
    """Returns the local folder of a model; None for a hub name.

    Raises:
        InputError: `path` cannot be a hub name, and there is no such folder.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.startswith((".", "~", "/")) or path.count("/") > 1:
        raise InputError(f"backbone.path={path}: there is no folder {folder.absolute()}. Give that of a saved model")
    return None


def refuse_damaged_files(folder: Path, pickles: bool = False) -> None:
    """Checks the headers of the weights and the JSON files of a model's folder.

    Args:
        folder: The folder.
        pickles: Whether the weights may be in pickles only, which are then not opened.

    Raises:
        InputError: A file is a git-lfs pointer, cut short or empty; a part of the weights is missing; or the weights
            are in pickles only. The message names the file.
    """
    weights = sorted(folder.glob("*.safetensors"))
    pickled = sorted(file for name in PICKLES for file in folder.glob(name))
    for file in [*weights, *sorted(folder.glob("*.json")), *pickled]:
        with open(file, "rb") as content:
            first_bytes = content.read(len(LFS_POINTER))
        if first_bytes == LFS_POINTER:
            raise InputError(f"{file} is a git-lfs pointer, not the file itself. Fetch it with `git lfs pull`")
        fault = _fault(file)
        if fault:
            raise InputError(f"{file} is damaged ({fault}). {AGAIN}")
    for file in _missing_parts(folder):
        raise InputError(f"{file} is missing, which the index of the weights lists. {AGAIN}")
    if pickled and not weights and not pickles:
        raise InputError(
            f"{pickled[0]} is a pickle, which can run code when it is opened. Save the model as safetensors: "
            "model.save_pretrained(FOLDER)"
        )


def file_of(weight: str, folder: Path) -> str:
    """Returns the name of the safetensors file that holds a weight."""
    # PEFT inserts the adapter's name, which files leave out.
    weight = weight.replace(".default.", ".")
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as content:
            if weight in content.keys():  # noqa: SIM118 - not a dict and without __contains__
                return file.name
    return "its weights"


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, since those of transformers can fill pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _fault(file: Path) -> str:
    """Returns what is wrong with a file of weights or JSON; empty if nothing is. Headers reveal truncated weights."""
    try:
        if file.suffix == ".safetensors":
            safe_open(file, framework="pt")
        elif file.suffix == ".json":
            json.loads(file.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        return first_line(error) if file.stat().st_size else "it is empty"
    return ""


def _missing_parts(folder: Path) -> Iterator[Path]:
    for index in sorted(folder.glob("*.safetensors.index.json")):
        names = json.loads(index.read_bytes()).get("weight_map", {}).values()
        yield from (folder / name for name in sorted(set(names)) if not (folder / name).is_file())
