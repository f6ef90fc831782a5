"""A table of one file whose values are checked; all errors name the file and the row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.datasets import columns
from llmrec.errors import InputError, shortened


@dataclass(frozen=True)
class Table:
    """Columns of one file.

    Attributes:
        path: The file, or the folder of its parts.
        columns: The values of each column by name.
        first_row: Number of the first record in error messages: 2 in a CSV file, whose header is row 1 (a line break
            inside quotes does not start a row), 1 in a file without header.
        repeated: Names that several columns have. Such a column cannot be used.
        labels: The name that a column has in the file, by its name in `columns`, where these differ.
        parts: The index of the first record of each part, and its file, if `path` is a folder of parts.
    """

    path: Path
    columns: Mapping[str, pa.Array]
    first_row: int
    repeated: frozenset[str] = frozenset()
    labels: Mapping[str, str | None] = field(default_factory=dict)
    parts: Sequence[tuple[int, Path]] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @classmethod
    def from_arrow(cls, path: Path, table: pa.Table) -> "Table":
        """Takes the columns of an Arrow table whose first row is row 1 of the file at `path`."""
        return cls.named(path, table.column_names, [column.combine_chunks() for column in table.columns], 1)

    @classmethod
    def named(cls, path: Path, names: Sequence[str], values: Sequence[pa.Array], first_row: int) -> "Table":
        """Takes columns whose names may repeat."""
        repeated = frozenset(name for name in names if names.count(name) > 1)
        return cls(path, dict(zip(names, values, strict=True)), first_row, repeated)

    def renamed(self, labels: Mapping[str, str | None]) -> "Table":
        """Returns the table with columns under other names.

        Args:
            labels: The name in the file by the new name; None, and names that the file does not have, are left out.
        """
        found = {new: self.columns[old] for new, old in labels.items() if old is not None and old in self.columns}
        repeated = frozenset(new for new, old in labels.items() if old in self.repeated)
        others = {name: values for name, values in self.columns.items() if name not in labels}
        repeated |= self.repeated - labels.keys()
        return replace(self, columns={**others, **found}, repeated=repeated, labels=labels)

    def label(self, name: str) -> str:
        """Returns the name of a column in the file."""
        return self.labels.get(name) or name

    def require_columns(self, names: Sequence[str]) -> None:
        """Raises InputError if a column of these names is missing or occurs twice, or if there are no rows."""
        missing = [self.label(name) for name in names if name not in self.columns]
        if missing:
            present = shortened(", ".join(dict.fromkeys(map(self.label, self.columns))) or "none", 300)
            wanted = ", ".join(map(self.label, names))
            mapped = ", or give your names, as in columns.user=customer_id" if self.labels else ""
            problem = f"{self.path}, row 1: no column {missing[0]!r} among {present}"
            raise InputError(f"{problem}. Name the columns {wanted}{mapped}")
        for name in names:
            self.column(name)
        if not len(self):
            raise InputError(f"{self.path}: no rows after the header. Give the file at least one row, or remove it")

    def column(self, name: str) -> pa.Array:
        """Returns a column.

        Raises:
            InputError: If two columns have this name.
        """
        if name in self.repeated:
            label = self.label(name)
            raise InputError(f"{self.path}, row 1: the column {label!r} occurs twice. Rename or remove one of the two")
        return self.columns[name]

    def fail(self, index: int, problem: str, remedy: str) -> InputError:
        """Returns an error about the record at `index`."""
        start, path = max((part for part in self.parts if part[0] <= index), default=(0, self.path))
        return InputError(f"{path}, row {self.first_row + index - start}: {problem}. {remedy}")

    def refuse(
        self, invalid: np.ndarray, problem: Callable[[int], str], one: str, several: str, every: str | None = None
    ) -> None:
        """Raises InputError about the first of the records at `invalid`, with their number if there are several.

        Args:
            invalid: Indices of the records, ascending.
            problem: Describes the record at an index.
            one: What to do if it is the only such record.
            several: What to do if there are several.
            every: What to do if all records are like it; `several` if None.
        """
        if not len(invalid):
            return
        first, count, total = int(invalid[0]), len(invalid), len(self)
        if count == 1:
            raise self.fail(first, problem(first), one)
        is_every = count == total
        counted = f"all {total:,} rows" if is_every else f"{count:,} of {total:,} rows"
        raise self.fail(first, f"{problem(first)} ({counted})", every if is_every and every else several)

    def require(self, is_valid: np.ndarray | pa.Array, name: str, expected: str) -> None:
        """Raises InputError for the first value of column `name` where `is_valid` is false or null."""
        values, label = self.columns[name], self.label(name)
        self.refuse(
            np.flatnonzero(~np.asarray(pc.fill_null(pa.array(is_valid), False))),
            lambda index: f"{label} is {shortened(str(values[index].as_py()))!r}, not {expected}",
            "Correct or remove that row",
            "Correct or remove those rows",
            f"Convert the column {label}, or take the values from another one",
        )

    def strings(self, name: str) -> pa.Array:
        """Returns a column as non-empty strings; whole floats as integers.

        Raises:
            InputError: For an empty value, or a column of bytes, lists or structs.
        """
        column = self.column(name)
        values = columns.text(column)
        expected = "a value"
        if (kind := columns.kind(column)) in ("bytes", "lists", "structs"):
            expected = f"text or a number (the column holds {kind})"
        elif pa.types.is_floating(columns.plain(column).type):
            expected = "a value that a float holds exactly"
        self.require(pc.greater(pc.utf8_length(values), 0), name, expected)
        return values

    def integers(self, name: str) -> np.ndarray:
        """Returns a column as int64 [n].

        Raises:
            InputError: For a value that is not a whole number.
        """
        values = columns.integers(self.column(name))
        self.require(pc.is_valid(values), name, "a whole number")
        return np.asarray(values)

    def numbers(self, name: str) -> np.ndarray:
        """Returns a column as float32 [n].

        Raises:
            InputError: For a value that is not a finite number.
        """
        column = self.column(name)
        values = columns.floats(column)
        self.require(pc.is_valid(values), name, "a number" if columns.kind(column) == "text" else "a finite number")
        numbers = np.asarray(pc.cast(values, pa.float32(), safe=False))
        self.require(np.isfinite(numbers), name, "a finite number")
        return numbers

    def lists(self, name: str) -> list[list[str]] | None:
        """Returns a column of lists of text, or of text separated by |; None if it has no values at all.

        Nulls in a list and blank entries are dropped.

        Raises:
            InputError: For a column of another type.
        """
        column = columns.plain(self.column(name))
        if columns.is_empty(column):
            return None
        if pa.types.is_string(column.type):
            return [_split(cell or "") for cell in column.to_pylist()]
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        inner = columns.plain(column.values[:0]).type if is_list else None
        if inner is None or not (pa.types.is_string(inner) or pa.types.is_null(inner)):
            is_valid = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
            self.require(is_valid, name, "a list of text, or text separated by |")
        cells = column.to_pylist()
        return [[entry for entry in cell or [] if entry is not None] for cell in cells]


def _split(cell: str) -> list[str]:
    return [entry.strip() for entry in cell.split("|") if entry.strip()]
