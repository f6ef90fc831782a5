"""A table of one file whose values are checked; all errors name the file and the row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from llmrec.datasets import columns
from llmrec.errors import InputError, shortened

BATCH_ROWS = 1 << 18
"""Rows that are converted at a time."""


@dataclass(frozen=True)
class Table:
    """Columns of one file, unread.

    Attributes:
        path: The file, or the folder of its parts.
        frame: The columns.
        first_row: Number of the first record in error messages: 2 in a CSV file, whose header is row 1 (a line break
            inside quotes does not start a row), 1 in a file without header.
        repeated: Names that several columns have. Such a column cannot be used.
        labels: The name that a column has in the file, by its name in `frame`, where these differ.
        parts: The index of the first record of each part, and its file, if `path` is a folder of parts.
    """

    path: Path
    frame: pl.LazyFrame
    first_row: int = 1
    repeated: frozenset[str] = frozenset()
    labels: Mapping[str, str | None] = field(default_factory=dict)
    parts: Sequence[tuple[int, Path]] = ()

    @classmethod
    def from_arrow(cls, path: Path, table: Any) -> "Table":
        """Takes the columns of an Arrow table, as readers of users' own do; its first row is row 1 of the file."""
        return cls(path, pl.DataFrame(table).lazy())

    @cached_property
    def types(self) -> pl.Schema:
        """The columns' types by name."""
        return self.frame.collect_schema()

    def renamed(self, labels: Mapping[str, str | None]) -> "Table":
        """Returns the table with columns under other names.

        Args:
            labels: The name in the file by the new name; None, and names that the file does not have, are left out.
        """
        found = {new: old for new, old in labels.items() if old is not None and old in self.types}
        others = [name for name in self.types if name not in labels]
        repeated = frozenset(new for new, old in labels.items() if old in self.repeated)
        repeated |= self.repeated - labels.keys()
        frame = self.frame.select(pl.col(others), *(pl.col(old).alias(new) for new, old in found.items()))
        return replace(self, frame=frame, repeated=repeated, labels=labels)

    def label(self, name: str) -> str:
        """Returns the name of a column in the file."""
        return self.labels.get(name) or name

    def require_columns(self, names: Sequence[str]) -> None:
        """Raises InputError if a column of these names is missing or occurs twice."""
        missing = [self.label(name) for name in names if name not in self.types]
        if missing:
            present = shortened(", ".join(dict.fromkeys(map(self.label, self.types))) or "none", 300)
            wanted = ", ".join(map(self.label, names))
            mapped = ", or give your names, as in columns.user=customer_id" if self.labels else ""
            problem = f"{self.path}, row 1: no column {missing[0]!r} among {present}"
            raise InputError(f"{problem}. Name the columns {wanted}{mapped}")
        for name in set(names) & self.repeated:
            label = self.label(name)
            raise InputError(f"{self.path}, row 1: the column {label!r} occurs twice. Rename or remove one of the two")

    def read(self, **expressions: pl.Expr) -> pl.DataFrame:
        """Reads the file once, a part at a time, and returns what the expressions make of its columns.

        Raises:
            InputError: If the file cannot be read or has no rows.
        """
        names = {name for expression in expressions.values() for name in expression.meta.root_names()}
        batches = self.frame.select(sorted(names)).collect_batches(chunk_size=BATCH_ROWS, engine="streaming")
        frames = [batch.select(**expressions) for batch in batches if len(batch)]
        if not frames:
            raise InputError(f"{self.path}: no rows after the header. Give the file at least one row, or remove it")
        return pl.concat(frames)

    def fail(self, index: int, problem: str, remedy: str) -> InputError:
        """Returns an error about the record at `index`."""
        start, path = max((part for part in self.parts if part[0] <= index), default=(0, self.path))
        return InputError(f"{path}, row {self.first_row + index - start}: {problem}. {remedy}")

    def refuse(
        self,
        is_valid: "pl.Series | np.ndarray",
        problem: Callable[[int], str],
        one: str,
        several: str,
        every: str | None = None,
    ) -> None:
        """Raises InputError about the first of the records that are not valid, with their number if there are several.

        Args:
            is_valid: Whether each record is, bool [rows]; null counts as false.
            problem: Describes the record at an index.
            one: What to do if it is the only such record.
            several: What to do if there are several.
            every: What to do if all records are like it; `several` if None.
        """
        is_invalid = ~pl.Series(is_valid).fill_null(False)
        count, total = int(is_invalid.sum()), len(is_invalid)
        if not count:
            return
        first = int(is_invalid.arg_max() or 0)
        if count == 1:
            raise self.fail(first, problem(first), one)
        is_every = count == total
        counted = f"all {total:,} rows" if is_every else f"{count:,} of {total:,} rows"
        raise self.fail(first, f"{problem(first)} ({counted})", every if is_every and every else several)

    def require(self, is_valid: "pl.Series | np.ndarray", name: str, expected: str) -> None:
        """Raises InputError for the first value of column `name` where `is_valid` is false or null."""
        label = self.label(name)
        self.refuse(
            is_valid,
            lambda index: f"{label} is {shortened(str(self.value(name, index)))!r}, not {expected}",
            "Correct or remove that row",
            "Correct or remove those rows",
            f"Convert the column {label}, or take the values from another one",
        )

    def value(self, name: str, index: int) -> Any:
        """Reads one value of a column as it is in the file."""
        return self.frame.select(name).slice(index, 1).collect(engine="streaming")[name].to_list()[0]

    def text(self, name: str) -> pl.Expr:
        """Converts a column to non-empty strings (see `columns.text`); other values are null."""
        return columns.unless_blank(columns.text(name, self.types[name]))

    def require_text(self, values: pl.Series, name: str) -> None:
        """Raises InputError for the first null in a column that was read with `text`."""
        type_, expected = self.types[name], "a value"
        if (kind := columns.kind(type_)) in ("bytes", "lists", "structs"):
            expected = f"text or a number (the column holds {kind})"
        elif type_.is_float():
            expected = "a value that a float holds exactly"
        self.require(values.is_not_null(), name, expected)

    def integers(self, name: str) -> pl.Expr:
        """Converts a column to Int64; other values are null."""
        return columns.integers(name, self.types[name])

    def require_integers(self, values: pl.Series, name: str) -> None:
        """Raises InputError for the first null in a column that was read with `integers`."""
        self.require(values.is_not_null(), name, "a whole number")

    def numbers(self, name: str) -> pl.Expr:
        """Converts a column to finite Float32; other values are null."""
        number = columns.floats(name, self.types[name]).cast(pl.Float32)
        return pl.when(number.is_finite()).then(number)

    def require_numbers(self, values: pl.Series, name: str) -> None:
        """Raises InputError for the first null in a column that was read with `numbers`."""
        is_text = columns.is_text(self.types[name])
        self.require(values.is_not_null(), name, "a number" if is_text else "a finite number")
