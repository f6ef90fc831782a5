"""Reads tables with named columns: CSV, JSON lines, and Parquet files or folders of them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.datasets.plain_files import malformed_row
from llmrec.datasets.readers.pickles import refuse_pickle
from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import COMPRESSIONS, read_json_lines, read_text, without_lone_surrogates
from llmrec.errors import InputError, shortened

SEPARATORS = (",", ";", "\t")
"""Of a CSV file, the one that occurs most often in the header is the separator."""
JSON_LINES = (".jsonl", ".ndjson", ".json")


def read_table(path: Path, required: Sequence[str] = ()) -> Table:
    """Reads a table that has at least the columns `required`.

    Args:
        path: A CSV file (UTF-8, with a header, separated by comma, semicolon or tab), a file of JSON lines or a Parquet
            file. Text may be compressed (.gz, .zst).
        required: Names of columns.

    Raises:
        InputError: For a malformed row, a missing column, a file without rows, or a pickle.
    """
    refuse_pickle(path)
    suffix = Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
    if suffix == ".parquet":
        table = Table.from_arrow(path, _read_parquet(path))
    else:
        table = _read_json_lines(path) if suffix in JSON_LINES else _read_csv(path)
    table.require_columns(required)
    return table


def read_parts(files: Sequence[Path]) -> Table:
    """Reads a file as `read_table` does, or several Parquet files of a folder as one table.

    Raises:
        InputError: For anything that `read_table` rejects, and for parts with different columns.
    """
    if len(files) == 1:
        return read_table(files[0])
    tables = [_read_parquet(file) for file in files]
    folder, starts = files[0].parent, [0]
    for table in tables[:-1]:
        starts.append(starts[-1] + table.num_rows)
    try:
        joined = Table.from_arrow(folder, pa.concat_tables(tables, promote_options="permissive"))
    except pa.ArrowException as error:
        problem = f"the parts have different columns ({shortened(str(error), 200)})"
        raise InputError(f"{folder}: {problem}. Write them with the same columns and types") from error
    return replace(joined, parts=tuple(zip(starts, files, strict=True)))


def _read_csv(path: Path) -> Table:
    text = read_text(path)
    header_line = text.lstrip("\r\n").partition("\n")[0]
    separator = max(SEPARATORS, key=header_line.count)
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        records.extend(reader)
    except csv.Error as error:
        raise InputError(f"{path}, row {len(records) + 1}: {error}. Correct that row") from error
    while records and not "".join(records[-1]).strip():
        records.pop()
    if not records:
        raise InputError(f"{path}: empty. Give it a header line and rows")
    header = records.pop(0)
    if malformed := malformed_row(path, list(map(len, records)), len(header), 2):
        raise malformed
    columns = list(zip(*records, strict=True)) if records else [()] * len(header)
    return Table.named(path, header, [pa.array(column, pa.string()) for column in columns], 2)


def _read_json_lines(path: Path) -> Table:
    rows = read_json_lines(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        # Numbers and text may be mixed, as in ids; Arrow takes one type a column.
        if any(isinstance(value, str) for value in values):
            values = [without_lone_surrogates(value) if isinstance(value, str) else value for value in values]
            values = [str(value) if isinstance(value, int | float) else value for value in values]
        columns.append(_array(path, name, values))
    return Table.named(path, names, columns, 1)


def _array(path: Path, name: str, values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        problem = f"the values of {name!r} are of several types ({shortened(str(error), 200)})"
        raise InputError(f"{path}: {problem}. Write all of them as text, as numbers or as lists of text") from error


def _read_parquet(path: Path) -> pa.Table:
    try:
        # ParquetFile reads files in which a name occurs twice, which pq.read_table does not.
        table = pq.ParquetFile(path).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        problem = f"not a readable Parquet file ({shortened(str(error), 200)})"
        raise InputError(f"{path}: {problem}. Write it again") from error
    return table
