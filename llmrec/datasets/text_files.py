"""Reads text files as people export them: byte order marks, compression, blank last lines, halves of emoji.

Uses the standard library only, and pyarrow for .zst.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from llmrec.errors import InputError

COMPRESSIONS = (".gz", ".zst")


def read_text(path: Path) -> str:
    """Reads a UTF-8 file, which may be compressed (.gz, .zst); a byte order mark is dropped.

    Raises:
        InputError: If the file cannot be decompressed or is not UTF-8. The message names the line.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, row {line}: not UTF-8 ({error.reason}). Save the file as UTF-8") from error


def read_bytes(path: Path) -> bytes:
    """Reads a file and decompresses it if its name ends in .gz or .zst.

    Raises:
        InputError: If it cannot be decompressed.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            return gzip.decompress(content)
        if path.suffix == ".zst":
            import pyarrow as pa

            with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
                return bytes(stream.read())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be decompressed ({error}). Put a complete copy of the file there") from error
    return content


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


def lines_of(text: str) -> list[str]:
    """Splits a text at line feeds, with or without a carriage return, and drops blank last lines.

    `str.splitlines` would also split at characters that may stand inside a title, such as U+2028 and U+0085.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def without_lone_surrogates(text: str) -> str:
    """Returns a text in which surrogates are joined in pairs, and replaced by U+FFFD where their other half is missing.

    JSON may hold half an emoji ("\\ud83d") if a title was cut to a length. No encoding can write it.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Reads a file with one JSON object per line.

    Raises:
        InputError: For a line that is not a JSON object. The message names it.
    """
    rows = []
    for number, line in enumerate(lines_of(read_text(path)), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, row {number}: not JSON ({error}). Correct or remove that line") from error
        if not isinstance(row, dict):
            raise InputError(f'{path}, row {number}: not an object. Write rows as {{"user": "ann", "item": "a"}}')
        rows.append(row)
    return rows
