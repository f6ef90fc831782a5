"""Scans the files of public dumps lazily: JSON lines, lines of Python literals, and separated text.

Each function returns a frame with the columns of a schema; other columns and keys of the file are ignored. Nothing is
read before the frame is collected, and then some megabytes at a time, so that a file may be larger than memory.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from llmrec.datasets.text_files import without_lone_surrogates
from llmrec.errors import InputError, shortened

BLOCK_BYTES = 1 << 24
ROWS = 1 << 17
"""Rows of separated text that are read at a time."""
_HALF_EMOJI = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
"""The first of two surrogates without the second, which polars reads as U+0000."""
Schema = Mapping[str, "pl.DataType | type[pl.DataType]"]
Parse = Callable[[bytes, int], pl.DataFrame]


def scan_json_lines(path: Path, schema: Schema) -> pl.LazyFrame:
    """Scans a file with a JSON object a line, which may be compressed (.gz, .zst).

    A key that a line does not have is null. Half an emoji in a text becomes U+FFFD.

    Raises:
        InputError: On collecting, for a file that cannot be read. The message names the file and the row.
    """

    def parse(block: bytes, first_row: int) -> pl.DataFrame:
        if not _HALF_EMOJI.search(block):
            try:
                return pl.read_ndjson(block, schema=dict(schema))
            except pl.exceptions.PolarsError:
                # The block is read again line by line, which finds the row or accepts what polars does not.
                pass
        return _rows(path, block, first_row, schema, json.loads, "JSON")

    return _scan_blocks(path, schema, parse)


def scan_literals(path: Path, schema: Schema) -> pl.LazyFrame:
    """Scans a file with a Python dict a line; lines are parsed as literals and never evaluated.

    Otherwise like `scan_json_lines`.
    """

    def parse(block: bytes, first_row: int) -> pl.DataFrame:
        return _rows(path, block, first_row, schema, ast.literal_eval, "a Python literal")

    return _scan_blocks(path, schema, parse)


def scan_text(path: Path, schema: Schema, separator: str = ",", quote: str | None = '"') -> pl.LazyFrame:
    """Scans separated text (UTF-8, with a header), which may be compressed (.gz, .zst).

    Blank values and values that are not of the schema's type are null.

    Args:
        path: The file.
        schema: The types of the columns to read, by their names in the header.
        separator: A character.
        quote: The character around values that contain the separator or a line break; None if there is none.

    Raises:
        InputError: On collecting, for a file that cannot be read. The message names the file.
    """

    def read(columns: list[str] | None, *_: Any) -> Iterator[pl.DataFrame]:
        wanted = [pl.col(name).cast(schema[name], strict=False) for name in columns or schema]
        try:
            text = pl.scan_csv(path, infer_schema=False, separator=separator, quote_char=quote)
            yield from text.select(wanted).collect_batches(chunk_size=ROWS, engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise unreadable(path, error) from error

    return _source(read, schema)


def header(path: Path, separator: str = ",", quote: str | None = '"') -> list[str]:
    """Returns the names of the columns of separated text; arguments and errors as for `scan_text`."""
    try:
        text = pl.scan_csv(path, infer_schema=False, separator=separator, quote_char=quote)
        return text.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """Returns the error about a downloaded file that cannot be read."""
    reason = shortened((str(error) or type(error).__name__).splitlines()[0], 200)
    return InputError(f"{path}: cannot be read ({reason}). Download the file again")


def _scan_blocks(path: Path, schema: Schema, parse: Parse) -> pl.LazyFrame:
    def read(columns: list[str] | None, *_: Any) -> Iterator[pl.DataFrame]:
        for block, first_row in _blocks(path):
            yield parse(block, first_row).select(columns or list(schema))

    return _source(read, schema)


def _source(read: Callable[..., Iterator[pl.DataFrame]], schema: Schema) -> pl.LazyFrame:
    def filtered(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for frame in read(columns):
            found = (frame if predicate is None else frame.filter(predicate)).head(len(frame) if rows is None else rows)
            yield found
            if rows is not None:
                rows -= len(found)
                if not rows:
                    return

    return register_io_source(filtered, schema=dict(schema))


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Reads a file in blocks of whole lines; yields each with the number of its first row."""
    row, rest = 1, b""
    try:
        with pa.input_stream(path) as stream:
            while block := stream.read(BLOCK_BYTES):
                lines, end, rest = (rest + block).rpartition(b"\n")
                if end:
                    yield lines, row
                    row += lines.count(b"\n") + 1
        if rest.strip():
            yield rest, row
    except (pa.ArrowException, OSError, EOFError) as error:
        raise unreadable(path, error) from error


def _rows(
    path: Path, block: bytes, first_row: int, schema: Schema, load: Callable[[str], Any], kind: str
) -> pl.DataFrame:
    rows = []
    for number, line in enumerate(block.split(b"\n"), first_row):
        if not line.strip():
            continue
        try:
            row = load(line.decode("utf-8"))
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            problem = f"not {kind} ({shortened(str(error), 200)})"
            raise InputError(f"{path}, row {number}: {problem}. Download the file again") from error
        if not isinstance(row, dict):
            problem = f"not a dict but {type(row).__name__}"
            raise InputError(f"{path}, row {number}: {problem}. Download the file again")
        rows.append(row)
    return pl.DataFrame([_column(name, [row.get(name) for row in rows], type_) for name, type_ in schema.items()])


def _column(name: str, values: list[Any], type_: "pl.DataType | type[pl.DataType]") -> pl.Series:
    if isinstance(type_, pl.List):
        values = [value if isinstance(value, list) else None for value in values]
    return pl.Series(name, [_joined(value) for value in values], type_, strict=False)


def _joined(value: Any) -> Any:
    """Returns a value without lone surrogates in its texts."""
    if isinstance(value, str):
        return without_lone_surrogates(value)
    return [_joined(entry) for entry in value] if isinstance(value, list) else value
