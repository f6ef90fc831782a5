"""The content hash of large files, read once as long as they do not change. Standard library only."""

import hashlib
from pathlib import Path

from llmrec.atomic import atomic_file


def file_hash(file: Path, cache_dir: Path) -> str:
    """Returns the sha256 of a file's content, in hex.

    It is kept in the cache by the file's path, size and time of change, so that weights of gigabytes are read once.
    """
    state = file.resolve().stat()
    place = hashlib.sha256(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()
    kept = cache_dir / "hashes" / place[:32]
    if kept.is_file():
        return kept.read_text()
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    with atomic_file(kept) as temporary:
        temporary.write_text(found)
    return found
