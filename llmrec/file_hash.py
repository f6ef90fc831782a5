"""Content hashes of large files, cached so that an unchanged file is read only once.

Imports only the standard library.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from llmrec.atomic import atomic_file


def file_hash(file: Path, cache_dir: Path) -> str:
    """Returns the SHA-256 of a file's content as a hexadecimal string.

    The hash is cached under the file's path, size and times, so that gigabytes of weights are read once.

    Args:
        file: The file to hash.
        cache_dir: llmrec's cache folder.
    """
    state = file.resolve().stat()
    # The time of the last change of the inode, unlike that of the content, cannot be set back by a copy.
    times = f"{state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    return _cached_hash(file.resolve(), times, cache_dir)


def files_hash(folder: Path, patterns: Iterable[str], cache_dir: Path) -> str:
    """Returns a hash of the names and contents of files. Unchanged files are read only once.

    Args:
        folder: The folder of the files.
        patterns: Glob patterns of the files, relative to the folder.
        cache_dir: llmrec's cache folder.
    """
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_hash(file, cache_dir)}\n".encode())
    return digest.hexdigest()


@cache
def _cached_hash(file: Path, times: str, cache_dir: Path) -> str:
    key = hashlib.sha256(f"{file} {times}".encode()).hexdigest()
    cached = cache_dir / "hashes" / key[:32]
    try:
        stored = cached.read_text()
        # A damaged hash would give a finished run another key, so the cached text repeats its own hash.
        if stored[64:] in ("", f" {_check(stored[:64])}") and re.fullmatch("[0-9a-f]{64}", stored[:64]):
            return stored[:64]
    except (OSError, ValueError):
        pass
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    with atomic_file(cached) as temporary:
        temporary.write_text(f"{digest} {_check(digest)}")
    return digest


def _check(digest: str) -> str:
    return hashlib.sha256(digest.encode()).hexdigest()[:16]
