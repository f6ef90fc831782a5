"""Content hashes of large files, cached so that an unchanged file is read only once.

Imports only the standard library.
"""

import hashlib
from pathlib import Path

from llmrec.atomic import atomic_file


def file_hash(file: Path, cache_dir: Path) -> str:
    """Returns the SHA-256 of a file's content as a hexadecimal string.

    The hash is cached under the file's path, size and modification time, so that gigabytes of weights are read once.

    Args:
        file: The file to hash.
        cache_dir: llmrec's cache folder.
    """
    state = file.resolve().stat()
    cache_key = hashlib.sha256(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()
    cached = cache_dir / "hashes" / cache_key[:32]
    if cached.is_file():
        return cached.read_text()
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    with atomic_file(cached) as temporary:
        temporary.write_text(digest)
    return digest
