"""Reads text files without quoting, millions of rows at a time."""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import read_text
from llmrec.errors import InputError, shortened


def read_plain(path: Path, text: str, separator: str, names: Sequence[str]) -> Table:
    """Parses a text without header and without quoting: fast for millions of rows.

    Args:
        path: The file that the text comes from.
        text: The content of the file.
        separator: One or more characters.
        names: Names of all columns.

    Raises:
        InputError: For an empty file or a row with another number of fields.
    """
    _require_text(path, text)
    return Table.named(path, names, _parse(path, text, separator, names, 1), 1)


def read_plain_csv(path: Path, required: Sequence[str]) -> Table:
    """Reads a CSV file without quoting (UTF-8, with a header) that has at least the columns `required`.

    Like `read_plain`, it is fast for millions of rows.

    Raises:
        InputError: For a row with another number of fields, a missing column, or a file without rows.
    """
    text = read_text(path)
    _require_text(path, text)
    header, _, rows = text.partition("\n")
    names = header.rstrip("\r").split(",")
    columns = _parse(path, rows, ",", names, 2) if rows.strip() else [pa.array([], pa.string())] * len(names)
    table = Table.named(path, names, columns, 2)
    table.require_columns(required)
    return table


def _require_text(path: Path, text: str) -> None:
    if not text.strip():
        raise InputError(f"{path}: empty. Put a complete copy of the file there")


def _parse(path: Path, text: str, separator: str, names: Sequence[str], first_row: int) -> list[pa.Array]:
    text = text.rstrip("\r\n")
    # Arrow splits at single characters only. The unit separator does not occur in these files.
    single = separator if len(separator) == 1 else "\x1f"
    # Numbered, because two columns of a file may have the same name.
    numbered = [str(number) for number in range(len(names))]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(text.replace(separator, single).encode()),
            pa.csv.ReadOptions(column_names=numbered),
            pa.csv.ParseOptions(delimiter=single, quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(numbered, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _malformed(path, text, separator, len(names), first_row) or InputError(
            f"{path}: cannot be read ({shortened(str(error), 200)}). Put a fresh copy of the file there"
        ) from error
    return [column.combine_chunks() for column in table.columns]


def _malformed(path: Path, text: str, separator: str, width: int, first_row: int) -> InputError | None:
    widths = [line.count(separator) + 1 for line in re.split(r"\r\n|\r|\n", text)]
    return malformed_row(path, widths, width, first_row)


def malformed_row(path: Path, widths: Sequence[int], width: int, first_row: int) -> InputError | None:
    """Returns an error about the first row with another number of fields than `width`; None if there is none.

    Args:
        path: The file.
        widths: The number of fields of each row.
        width: The number of columns.
        first_row: Number of the first of these rows in the file.
    """
    wrong = [index for index, found in enumerate(widths) if found != width]
    if not wrong:
        return None
    counted = f" ({len(wrong):,} of {len(widths):,} rows)" if len(wrong) > 1 else ""
    remedy = "Correct or remove that row" if len(wrong) == 1 else "Quote fields that contain the separator"
    fields = widths[wrong[0]]
    return InputError(f"{path}, row {first_row + wrong[0]}: {fields} fields instead of {width}{counted}. {remedy}")
