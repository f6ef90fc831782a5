"""Scans files with an object a line lazily: JSON lines, and lines of Python literals.

Each function returns a frame with the columns of a schema; other keys of the file are ignored. Nothing is read before
the frame is collected, and then some megabytes at a time, so that a file may be larger than memory.
"""

import ast
import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from llmrec.datasets.readers.progress import advance
from llmrec.datasets.text_files import without_lone_surrogates
from llmrec.errors import InputError, shortened

BLOCK_BYTES = 1 << 24
ROWS = 1 << 17
"""Rows that are in memory at a time where Python reads them."""
_HALF_EMOJI = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
"""The first of two surrogates without the second, which polars reads as U+0000."""
_DEEP = re.compile(rb"(?:[\[{][^\[\]{}]*+){50}")
"""Fifty brackets in one another. polars takes the cube of the depth to infer a type: 7 seconds for 500."""
CODECS = {".gz": "gzip", ".zst": "zstd"}
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
"""How files of gzip, zstd, bzip2, xz and zip begin. polars would decompress some of them, a part at a time."""
Type = pl.DataType | type[pl.DataType]
Schema = Mapping[str, Type]
SPACES = b" \t\r\n"
TEXTS, EMPTY_LISTS, NOTHING = pl.List(pl.String), pl.List(pl.Null), pl.Null()
Block = tuple[bytes, int]
"""Whole lines, without the last line feed, and the number of the first."""


def scan_json_lines(path: Path, schema: Schema) -> pl.LazyFrame:
    """Scans a file with a JSON object a line, which may be compressed (.gz, .zst).

    A key that a line does not have is null. Numbers and lists in a column of text become text, whole numbers without a
    fraction. Half an emoji in a text becomes U+FFFD.

    Raises:
        InputError: On collecting, for a file that cannot be read. The message names the file and the row.
    """

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        wanted = {name: schema[name] for name in columns}
        for block, first_row in blocks(path, blank=SPACES):
            yield _json_block(path, block, first_row, wanted)

    return source(read, schema)


def scan_literals(path: Path, schema: Schema) -> pl.LazyFrame:
    """Scans a file with a Python dict a line; lines are parsed as literals and never evaluated.

    Otherwise like `scan_json_lines`.
    """

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        wanted = {name: schema[name] for name in columns}
        for block, first_row in blocks(path, blank=SPACES):
            yield _frame(_rows(path, block, first_row, ast.literal_eval, "a Python literal"), wanted)

    return source(read, schema)


def scan_lines(path: Path) -> pl.LazyFrame:
    """Scans the lines of a text, which may be compressed (.gz, .zst), as the column "line".

    Bytes that are not UTF-8 become U+FFFD.

    Raises:
        InputError: On collecting, for a file that cannot be decompressed.
    """

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for block, _ in blocks(path):
            lines = pl.Series("line", block.decode(errors="replace").split("\n"), pl.String)
            yield pl.DataFrame([lines.str.strip_suffix("\r")]).select(columns)

    return source(read, {"line": pl.String()})


def json_types(path: Path) -> dict[str, pl.DataType]:
    """Returns the keys of all objects in a file of JSON lines, and their types; errors as for `scan_json_lines`.

    Values of a key are text, unless all of them are lists or objects of one type; mixed values are text, too.
    """
    types: dict[str, pl.DataType] = {}
    for block, first_row in blocks(path, blank=SPACES):
        found = _polars_types(block) or _python_types(_rows(path, block, first_row, json.loads, "JSON"))
        for name, type_ in found.items():
            types[name] = _common(types.get(name, NOTHING), TEXTS if type_ == EMPTY_LISTS else type_)
    return {name: type_ if type_.is_nested() else pl.String() for name, type_ in types.items()}


def _polars_types(block: bytes) -> Mapping[str, pl.DataType] | None:
    """Infers types; None for a block that polars cannot read, or not in reasonable time."""
    if _DEEP.search(block):
        return None
    try:
        return pl.read_ndjson(block, infer_schema_length=None).schema
    except (pl.exceptions.PolarsError, OSError):
        return None


def _python_types(rows: Sequence[Mapping[str, Any]]) -> dict[str, pl.DataType]:
    """Finds lists among values that polars cannot read together."""
    types: dict[str, pl.DataType] = {}
    for row in rows:
        for name, value in row.items():
            type_ = NOTHING if value is None else TEXTS if isinstance(value, list) else pl.String()
            types[name] = _common(types.get(name, NOTHING), type_)
    return types


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """Returns the type of values of two types, of which one may be null: text if they differ."""
    if NOTHING in (one, other):
        return other if one == NOTHING else one
    return one if one == other else pl.String()


def source(read: Callable[[Sequence[str]], Iterator[pl.DataFrame]], schema: Schema) -> pl.LazyFrame:
    """Returns a lazy frame of the frames that `read` yields, given the names of columns."""

    def filtered(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for frame in read(columns or list(schema)):
            found = frame if predicate is None else frame.filter(predicate)
            found = found if rows is None else found.head(rows)
            yield found
            if rows is not None:
                rows -= len(found)
                if not rows:
                    return

    return register_io_source(filtered, schema=dict(schema))


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
        raise unreadable(path, error) from error


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


def unreadable(path: Path, error: Exception) -> InputError:
    """Returns the error about a downloaded file that cannot be read."""
    reason = shortened((str(error) or type(error).__name__).splitlines()[0], 200)
    return InputError(f"{path}: cannot be read ({reason}). Download the file again")


def _json_block(path: Path, block: bytes, first_row: int, schema: Schema) -> pl.DataFrame:
    if not _HALF_EMOJI.search(block):
        try:
            frame = pl.read_ndjson(block, schema=dict(schema))
            if len(frame) == block.count(b"\n") + 1:
                return frame
        except (pl.exceptions.PolarsError, OSError):
            # Read line by line, which finds the row or accepts what polars does not.
            pass
    return _frame(_rows(path, block, first_row, json.loads, "JSON"), schema)


def _rows(path: Path, block: bytes, first_row: int, load: Callable[[str], Any], kind: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(block.split(b"\n"), first_row):
        try:
            row = load(line.decode())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            problem = f"not {kind} ({shortened(str(error), 200)})"
            raise InputError(f"{path}, row {number}: {problem}. Correct or remove that line") from error
        if not isinstance(row, dict):
            problem = 'not an object. Write rows as {"user": "ann", "item": "a"}'
            raise InputError(f"{path}, row {number}: {problem}")
        rows.append(row)
    return rows


def _frame(rows: Sequence[Mapping[str, Any]], schema: Schema) -> pl.DataFrame:
    return pl.DataFrame([_column(name, [row.get(name) for row in rows], type_) for name, type_ in schema.items()])


def _column(name: str, values: list[Any], type_: Type) -> pl.Series:
    if isinstance(type_, pl.List):
        values = [_joined(value) if isinstance(value, list) else None for value in values]
    elif type_ == pl.String:
        values = list(map(_text, values))
    return pl.Series(name, values, type_, strict=False)


def _text(value: Any) -> str | None:
    """Converts a value to text as polars does."""
    if value is None or isinstance(value, str):
        return value and _joined(value)
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, default=str)


def _joined(value: Any) -> Any:
    """Returns a value without lone surrogates in its texts."""
    if isinstance(value, str):
        return without_lone_surrogates(value)
    return [_joined(entry) for entry in value] if isinstance(value, list) else value
