"""Reads text files as people export them: with byte order marks, compressed, with halves of emoji.

Uses the standard library only, and pyarrow for .zst.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from llmrec.errors import InputError

COMPRESSIONS = (".gz", ".zst")
BUFFER_BYTES = 1 << 20


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed if its name ends in .gz or .zst.

    Raises:
        InputError: If it cannot be decompressed.
    """
    try:
        with _binary(path) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        # Errors of the system have a number; those of gzip and pyarrow about the content have none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: cannot be decompressed ({error}). Put a complete copy of the file there") from error


def _binary(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if path.suffix == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"), BUFFER_BYTES)
    return open(path, "rb")


def read_text(path: Path) -> str:
    """Reads a UTF-8 file, which may be compressed (.gz, .zst); a byte order mark is dropped.

    Raises:
        InputError: If the file cannot be decompressed or is not UTF-8. The message names the line.
    """
    with open_bytes(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, row {line}: not UTF-8 ({error.reason}). Save the file as UTF-8") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file, which may be compressed (.gz, .zst).

    Raises:
        InputError: If it is not JSON in UTF-8, or an object has a key twice. The message names the line or the key.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}, key {repeated!r}: occurs twice. Remove one of its entries")
        return content

    try:
        return json.loads(read_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, row {error.lineno}: not valid JSON ({error.msg}). Correct that line") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets a thousand deep.
        raise InputError(f"{path}: not valid JSON ({error}). Put a complete copy of the file there") from error


def without_lone_surrogates(text: str) -> str:
    """Returns a text in which surrogates are joined in pairs, and replaced by U+FFFD where their other half is missing.

    JSON may hold half an emoji ("\\ud83d") if a title was cut to a length. No encoding can write it.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
