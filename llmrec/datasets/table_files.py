"""Scans tables with named columns: CSV, JSON lines, and Parquet files or folders of them."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.datasets.columns import unless_blank
from llmrec.datasets.readers.blocks import blocks
from llmrec.datasets.readers.json_types import json_types
from llmrec.datasets.readers.lazy_frames import ROWS, Schema, lazy_frame
from llmrec.datasets.readers.pickles import refuse_pickle
from llmrec.datasets.readers.scans import scan_json_lines
from llmrec.datasets.readers.separated import Separated, split_line
from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import COMPRESSIONS
from llmrec.errors import InputError, shortened

SEPARATORS = (",", ";", "\t")
"""Of a CSV file, the one that occurs most often in the header is the separator."""
JSON_LINES = (".jsonl", ".ndjson", ".json")


def scan_table(path: Path, required: Sequence[str] = ()) -> Table:
    """Scans a table that has at least the columns `required`.

    Args:
        path: A CSV file (UTF-8, with a header, separated by comma, semicolon or tab), a file of JSON lines or a Parquet
            file. Text may be compressed (.gz, .zst).
        required: Names of columns.

    Raises:
        InputError: For a missing column or a pickle; on reading, for a malformed row or a file without rows.
    """
    refuse_pickle(path)
    suffix = Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
    if suffix == ".parquet":
        table = _parquet(path)
    elif suffix in JSON_LINES:
        table = Table(path, scan_json_lines(path, json_types(path)))
    else:
        table = scan_separated(path)
    table.require_columns(required)
    return table


def scan_parts(files: Sequence[Path]) -> Table:
    """Scans a file as `scan_table` does, or several Parquet files of a folder as one table.

    Raises:
        InputError: For anything that `scan_table` rejects, and for parts with different columns.
    """
    if len(files) == 1:
        return scan_table(files[0])
    folder, starts, tables = files[0].parent, [0], [_parquet(file) for file in files]
    for file in files[:-1]:
        starts.append(starts[-1] + pq.read_metadata(file).num_rows)
    frame = pl.concat([table.frame for table in tables], how="diagonal_relaxed")
    try:
        frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        problem = f"the parts have different columns ({shortened(str(error), 200)})"
        raise InputError(f"{folder}: {problem}. Write them with the same columns and types") from error
    repeated = frozenset[str]().union(*(table.repeated for table in tables))
    return Table(folder, frame, repeated=repeated, parts=tuple(zip(starts, files, strict=True)))


def scan_separated(path: Path, separators: Sequence[str] = SEPARATORS, quoted: bool = True) -> Table:
    """Scans separated text with a header.

    Args:
        path: The file.
        separators: The separators that it may have.
        quoted: Whether values may stand in quotes.

    Raises:
        InputError: If it is empty or its header is malformed; on reading, for a malformed row. The message names the
            file and the row.
    """
    first = next(blocks(path), None)
    if first is None:
        raise InputError(f"{path}: empty. Put a complete copy of the file there")
    header = split_line(first[0])[0].decode(errors="replace")
    separator = max(separators, key=header.count)
    try:
        names = next(csv.reader([header], delimiter=separator)) if quoted else header.split(separator)
    except csv.Error as error:
        raise InputError(f"{path}, row 1: {error}. Correct the header") from error
    return named(Separated(path, names, separator, quoted))


def scan_text(path: Path, schema: Schema, separator: str = ",", quoted: bool = True) -> pl.LazyFrame:
    """Scans columns of separated text with a header. Blank values and those that are not of the type are null.

    Args:
        path: The file.
        schema: The types of the columns to read, by their names in the header.
        separator: The separator.
        quoted: Whether values may stand in quotes.

    Raises:
        InputError: For anything that `scan_separated` rejects, and for a missing column.
    """
    table = scan_separated(path, (separator,), quoted)
    table.require_columns(list(schema))
    return table.frame.select(unless_blank(pl.col(name)).cast(type_, strict=False) for name, type_ in schema.items())


def named(text: Separated) -> Table:
    """Returns separated text as a table with its names, of which the first of equal ones is kept."""
    first = {name: str(len(text.names) - 1 - index) for index, name in enumerate(reversed(text.names))}
    repeated = frozenset(name for name in text.names if text.names.count(name) > 1)
    frame = text.scan().select(pl.col(first[name]).alias(name) for name in dict.fromkeys(text.names))
    return Table(text.path, frame, 2 if text.has_header else 1, repeated)


def _parquet(path: Path) -> Table:
    """Scans a Parquet file with pyarrow, because polars prints a stack trace on some damaged files."""
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        repeated = frozenset(name for name in names if names.count(name) > 1)
        if repeated:
            first = dict(zip(reversed(names), reversed(file.read().columns), strict=True))
            return Table(path, pl.DataFrame(pa.table(first)).lazy(), repeated=repeated)
        schema = pl.DataFrame(file.schema_arrow.empty_table()).schema
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        try:
            for batch in pq.ParquetFile(path).iter_batches(ROWS, columns=list(columns)):
                batch.validate(full=True)
                yield pl.DataFrame(batch).select(columns)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error

    return Table(path, lazy_frame(read, schema))


def _unreadable(path: Path, error: Exception) -> InputError:
    problem = f"not a readable Parquet file ({shortened(str(error), 200)})"
    return InputError(f"{path}: {problem}. Write it again")
