"""Reads the columns of CSV and Parquet files and checks their values; all errors name the file and the row."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from llmrec.errors import InputError

_INTEGER = r"^[+-]?[0-9]{1,18}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Table:
    """Columns of one file.

    Attributes:
        path: The file.
        columns: The values of each column by name.
        first_row: Number of the first record in error messages: 2 in a CSV file, whose header is row 1 (a line break
            inside quotes does not start a row), 1 in a file without header.
    """

    path: Path
    columns: dict[str, pa.Array]
    first_row: int

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @classmethod
    def from_arrow(cls, path: Path, table: pa.Table) -> "Table":
        """Takes the columns of an Arrow table whose first row is row 1 of the file at `path`."""
        return cls(path, {name: table[name].combine_chunks() for name in table.column_names}, 1)

    def require_columns(self, names: Sequence[str]) -> None:
        """Raises InputError if a column of these names is missing, or if there are no rows."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise InputError(
                f"{self.path}, row 1: no column {missing[0]!r} among {', '.join(self.columns) or 'none'}. "
                f"Name the columns {', '.join(names)}"
            )
        if not len(self):
            raise InputError(f"{self.path}: no rows after the header. Give the file at least one row, or remove it")

    def fail(self, index: int, problem: str, remedy: str) -> InputError:
        """Returns an error about the record at `index`."""
        return InputError(f"{self.path}, row {self.first_row + index}: {problem}. {remedy}")

    def require(self, is_valid: np.ndarray | pa.Array, name: str, expected: str) -> None:
        """Raises InputError for the first value of column `name` where `is_valid` is false or null."""
        invalid = np.flatnonzero(~np.asarray(pc.fill_null(pa.array(is_valid), False)))
        if len(invalid):
            value = str(self.columns[name][int(invalid[0])].as_py())
            shortened = value if len(value) <= 80 else value[:77] + "..."
            raise self.fail(int(invalid[0]), f"{name} is {shortened!r}, not {expected}", "Correct or remove that row")

    def strings(self, name: str) -> pa.Array:
        """Returns a column as non-empty strings.

        Raises:
            InputError: For an empty value.
        """
        column = self.columns[name].cast(pa.string())
        self.require(pc.greater(pc.utf8_length(column), 0), name, "a value")
        return column

    def integers(self, name: str) -> np.ndarray:
        """Returns a column as int64 [n].

        Raises:
            InputError: For a value that is not a whole number.
        """
        column = self.columns[name]
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.string())
            self.require(pc.match_substring_regex(column, _INTEGER), name, "a whole number")
        self.require(pc.is_valid(column), name, "a whole number")
        return np.asarray(column.cast(pa.int64()))

    def numbers(self, name: str) -> np.ndarray:
        """Returns a column as float32 [n].

        Raises:
            InputError: For a value that is not a finite number.
        """
        column = self.columns[name]
        if pa.types.is_string(column.type):
            self.require(pc.match_substring_regex(column, _NUMBER), name, "a number")
        column = column.cast(pa.float32())
        self.require(pc.is_finite(column), name, "a finite number")
        return np.asarray(column)


def read_text(path: Path) -> str:
    """Reads a UTF-8 file; a byte order mark is dropped.

    Raises:
        InputError: If the file is not UTF-8. The message names the line.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, row {line}: not UTF-8 ({error.reason}). Save the file as UTF-8") from error


def read_table(path: Path, required: Sequence[str] = ()) -> Table:
    """Reads a CSV file (UTF-8, with a header) or a Parquet file that has at least the columns `required`.

    Raises:
        InputError: For a malformed row, a missing column, or a file without rows.
    """
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    table.require_columns(required)
    return table


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
    return Table(path, _parse(path, text, separator, names, 1), 1)


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
    columns = _parse(path, rows, ",", names, 2) if rows.strip() else dict.fromkeys(names, pa.array([], pa.string()))
    table = Table(path, columns, 2)
    table.require_columns(required)
    return table


def _require_text(path: Path, text: str) -> None:
    if not text.strip():
        raise InputError(f"{path}: empty. Put a complete copy of the file there")


def _parse(path: Path, text: str, separator: str, names: Sequence[str], first_row: int) -> dict[str, pa.Array]:
    text = text.rstrip("\r\n")
    # Arrow splits at single characters only. The unit separator does not occur in these files.
    single = separator if len(separator) == 1 else "\x1f"
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(text.replace(separator, single).encode()),
            pa.csv.ReadOptions(column_names=list(names)),
            pa.csv.ParseOptions(delimiter=single, quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _malformed(path, text, separator, len(names), first_row) or InputError(
            f"{path}: cannot be read ({error}). Put a fresh copy of the file there"
        ) from error
    return {name: column.combine_chunks() for name, column in zip(names, table.columns, strict=True)}


def _malformed(path: Path, text: str, separator: str, width: int, first_row: int) -> InputError | None:
    for row, line in enumerate(re.split(r"\r\n|\r|\n", text), first_row):
        fields = line.count(separator) + 1
        if fields != width:
            return InputError(f"{path}, row {row}: {fields} fields instead of {width}. Correct or remove that row")
    return None


def _read_csv(path: Path) -> Table:
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        records.extend(reader)
    except csv.Error as error:
        raise InputError(f"{path}, row {len(records) + 1}: {error}. Correct that row") from error
    if not records:
        raise InputError(f"{path}: empty. Give it a header line and rows")
    header = records.pop(0)
    widths = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    for index in np.flatnonzero(widths != len(header))[:1]:
        raise InputError(
            f"{path}, row {index + 2}: {widths[index]} fields where the header has {len(header)}. Correct that row"
        )
    columns = zip(*records, strict=True) if records else ((),) * len(header)
    return Table(path, {name: pa.array(column, pa.string()) for name, column in zip(header, columns, strict=True)}, 2)


def _read_parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). Write it again") from error
    return Table.from_arrow(path, table)
