"""Reads files in blocks of whole lines, some megabytes at a time, so that a file may be larger than memory."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from llmrec.datasets.readers.progress import advance
from llmrec.errors import InputError, shortened

BLOCK_BYTES = 1 << 24
CODECS = {".gz": "gzip", ".zst": "zstd"}
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
"""How files of gzip, zstd, bzip2, xz and zip begin. polars would decompress some of them, a part at a time."""
Block = tuple[bytes, int]
"""Whole lines, without the last line feed, and the number of the first."""


def blocks(path: Path, content: bytes | None = None, blank: bytes = b"\r\n") -> Iterator[Block]:
    """Reads a file, which may be compressed (.gz, .zst), in blocks of whole lines without a byte order mark.

    Args:
        path: The file.
        content: Its content, uncompressed, if it is in memory already.
        blank: The bytes of blank lines, which are dropped at the end of the file.
    """
    row, rest = 1, b""
    try:
        with _opened(path, content) as (stream, raw):
            while block := stream.read(BLOCK_BYTES):
                if row == 1 and not rest and block.startswith(COMPRESSED):
                    raise _compressed(path)
                advance(path, raw.tell(), block.count(b"\n"))
                lines, end, tail = (rest + block).removeprefix(codecs.BOM_UTF8 if row == 1 else b"").rpartition(b"\n")
                filled = lines.rstrip(blank)
                if filled:
                    filled = lines[: len(filled) + lines.startswith(b"\r", len(filled))]
                    yield filled, row
                    row += filled.count(b"\n") + 1
                    rest = (lines[len(filled) :] + end).partition(b"\n")[2] + tail
                else:
                    rest = lines + end + tail
        if rest.strip(blank):
            yield rest.rstrip(blank), row
    except (pa.ArrowException, OSError, EOFError) as error:
        raise _unreadable(path, error) from error


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[tuple[pa.NativeFile, pa.NativeFile]]:
    """Opens a file, or its content; yields the text as a stream and what it is read from."""
    codec = CODECS.get(path.suffix) if content is None else None
    with (
        pa.OSFile(str(path)) if content is None else pa.BufferReader(content) as raw,
        pa.input_stream(raw, codec) as stream,
    ):
        yield stream, raw


def _compressed(path: Path) -> InputError:
    return InputError(
        f"{path}: its content is compressed, but its name does not say so, or it is compressed twice. Unpack it, or "
        f"end its name in {' or '.join(CODECS)}"
    )


def _unreadable(path: Path, error: Exception) -> InputError:
    """Returns the error about a downloaded file that cannot be read."""
    reason = shortened((str(error) or type(error).__name__).splitlines()[0], 200)
    return InputError(f"{path}: cannot be read ({reason}). Download the file again")
