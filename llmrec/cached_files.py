"""Files and folders of the cache: a damaged one is removed with a warning, and made anew by whoever needs it."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmrec.atomic import atomic_file, atomic_folder
from llmrec.manifest import file_manifest, folder_manifest

logger = logging.getLogger(__name__)


def is_cached(path: Path) -> bool:
    """Returns whether a cached file or folder exists and is as it was written; a damaged one is removed."""
    if not path.exists():
        return False
    damage = (folder_manifest(path) if path.is_dir() else file_manifest(path)).damage()
    if damage:
        discard(path, f"{damage[0]} is damaged ({damage[1]})")
    return not damage


def discard(path: Path, reason: str) -> None:
    """Removes a damaged file or folder of the cache, with a warning that gives the reason."""
    logger.warning("%s: it is made anew", reason)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
        file_manifest(path).file.unlink(missing_ok=True)


@contextmanager
def cached_folder(path: Path) -> Iterator[Path]:
    """As `atomic_folder`, with the checksums of all files in the folder."""
    with atomic_folder(path) as temporary:
        yield temporary
        with folder_manifest(temporary).recorded(*sorted(entry.name for entry in temporary.iterdir())):
            pass


@contextmanager
def cached_file(path: Path) -> Iterator[Path]:
    """As `atomic_file`, with the file's checksum beside it."""
    with atomic_file(path) as temporary:
        yield temporary
        # Before the file is moved into place: a process that ends between the two leaves no file without a checksum.
        file_manifest(path).record_file(temporary, path.name)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Reads the arrays of a cached file; None if there is none or it is damaged."""
    if not is_cached(path):
        return None
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError) as error:
        discard(path, f"{path} is damaged ({error})")
        return None
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to a file of the cache."""
    with cached_file(path) as temporary:
        save_file(dict(arrays), temporary)
