"""Scans files with an object a line lazily: JSON lines, and lines of Python literals.

Each function returns a frame with the columns of a schema; other keys of the file are ignored. Nothing is read before
the frame is collected, and then some megabytes at a time, so that a file may be larger than memory.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from llmrec.datasets.readers.blocks import blocks
from llmrec.datasets.readers.lazy_frames import Schema, Type, lazy_frame
from llmrec.datasets.text_files import without_lone_surrogates
from llmrec.errors import InputError, shortened

SPACES = b" \t\r\n"
"""The white space of JSON."""
_HALF_EMOJI = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
"""The first of two surrogates without the second, which polars reads as U+0000."""


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

    return lazy_frame(read, schema)


def scan_literals(path: Path, schema: Schema) -> pl.LazyFrame:
    """Scans a file with a Python dict a line; lines are parsed as literals and never evaluated.

    Otherwise like `scan_json_lines`.
    """

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        wanted = {name: schema[name] for name in columns}
        for block, first_row in blocks(path, blank=SPACES):
            yield _frame(parse_lines(path, block, first_row, ast.literal_eval, "a Python literal"), wanted)

    return lazy_frame(read, schema)


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

    return lazy_frame(read, {"line": pl.String()})


def _json_block(path: Path, block: bytes, first_row: int, schema: Schema) -> pl.DataFrame:
    if not _HALF_EMOJI.search(block):
        try:
            frame = pl.read_ndjson(block, schema=dict(schema))
            if len(frame) == block.count(b"\n") + 1:
                return frame
        except (pl.exceptions.PolarsError, OSError):
            # Read line by line, which finds the row or accepts what polars does not.
            pass
    return _frame(parse_lines(path, block, first_row, json.loads, "JSON"), schema)


def parse_lines(
    path: Path, block: bytes, first_row: int, load: Callable[[str], Any], kind: str
) -> list[dict[str, Any]]:
    """Parses a block of lines, each an object.

    Args:
        path: The file, for error messages.
        block: The lines.
        first_row: The number of the first.
        load: Parses a line.
        kind: What a line is expected to be, for error messages.

    Raises:
        InputError: A line is not of this kind. The message names the row.
    """
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
