"""Copies tables of a database to Parquet files, which the generic reader reads. Imported by `llmrec.prepare` only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

from llmrec.datasets.database_urls import FORMS, SQLITE, parse_url, passwords, shown_url
from llmrec.errors import InputError, shortened

QUERY = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
INFERENCE_ROWS = 100_000
"""Rows from which the SQLite driver infers the types of columns, since SQLite has none."""


@dataclass(frozen=True)
class Selection:
    """What is copied from a database.

    Attributes:
        source: The name of a table or view, also as schema.table, or a SELECT.
        required: The names of the columns that it must have, by their key in `columns`. Rows are sorted by them and by
            the optional one, so that equal data gives equal files.
        optional: The name of a column that is copied if it exists; None for no such column.
    """

    source: str
    required: Mapping[str, str]
    optional: str | None


def export(url: str, selections: Mapping[str, Selection], folder: Path) -> None:
    """Copies selections to Parquet files, a batch of rows at a time.

    Nothing is written to the database, and the password of the URL is in no message and no file.

    Args:
        url: sqlite:///<file>, or postgresql:// as libpq takes it. libpq also reads PGPASSWORD and ~/.pgpass.
        selections: The selections by the names of their files without .parquet.
        folder: Where the files are written.

    Raises:
        InputError: The database cannot be reached, or a selection cannot be read.
    """
    parsed = parse_url(url)
    with _described(parsed, "", "Check the URL, and that the server runs"), _connection(parsed, url) as connection:
        for stem, selection in selections.items():
            where = f", {stem}={shortened(selection.source)}"
            with _described(parsed, where, "Correct the name or the query"), connection.cursor() as cursor:
                query = _query(cursor, selection, shown_url(parsed) + where)
                if parsed.scheme == SQLITE:
                    cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": INFERENCE_ROWS})
                cursor.execute(query)
                _write(cursor.fetch_record_batch(), folder / f"{stem}.parquet")


@contextmanager
def _described(parsed: SplitResult, where: str, remedy: str) -> Iterator[None]:
    """Turns errors of a driver into ones that name the database, without the password."""
    import pyarrow as pa
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, pa.ArrowException) as error:
        text = " ".join(str(error).split()).removeprefix("IO: ")
        for secret in passwords(parsed):
            text = text.replace(secret, "***")
        raise InputError(f"{shown_url(parsed)}{where}: {shortened(text, 300).rstrip('.')}. {remedy}") from error


@contextmanager
def _connection(parsed: SplitResult, url: str) -> Iterator[Any]:
    try:
        connection = _open_sqlite(parsed) if parsed.scheme == SQLITE else _open_postgresql(url)
    except ImportError as error:
        raise InputError(f"Reading a database needs {error.name}. Run: pip install 'llmrec[prepare]'") from error
    with connection:
        yield connection


def _open_sqlite(parsed: SplitResult) -> Any:
    from adbc_driver_sqlite import dbapi

    file = Path(unquote(parsed.path.removeprefix("/"))).absolute()
    if not file.is_file():
        raise InputError(f"{shown_url(parsed)}: there is no file {file}. Give {FORMS}")
    return dbapi.connect(f"{file.as_uri()}?mode=ro")


def _open_postgresql(url: str) -> Any:
    from adbc_driver_postgresql import dbapi

    connection = dbapi.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    return connection


def _query(cursor: Any, selection: Selection, where: str) -> str:
    source = _source(selection.source)
    cursor.execute(f"SELECT * FROM {source} LIMIT 0")
    schema = cursor.fetch_record_batch().schema
    names = _wanted(selection, schema.names, where)
    columns = ", ".join(_column(schema.field(name)) for name in names)
    order = [*map(_quoted, selection.required.values())]
    if selection.optional in names:
        # As text, since JSON has no order.
        order.append(f"CAST({_quoted(selection.optional)} AS text)")
    return f"SELECT {columns} FROM {source} ORDER BY {', '.join(order)}"


def _write(batches: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, batches.schema.remove_metadata()) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(None))


def _wanted(selection: Selection, names: Sequence[str], where: str) -> list[str]:
    for key, name in selection.required.items():
        if name not in names:
            present = shortened(", ".join(names), 300)
            raise InputError(f"{where}: no column {name!r} among {present}. Name it, as in columns.{key}=NAME")
    # Two keys may name one column.
    wanted = {*selection.required.values(), selection.optional}
    return [name for name in names if name in wanted]


def _column(field: Any) -> str:
    """Returns the expression of a column (pyarrow.Field); types that Arrow lacks, as uuid and numeric, become text."""
    import pyarrow as pa

    name = _quoted(field.name)
    return f"CAST({name} AS text) AS {name}" if isinstance(field.type, pa.BaseExtensionType) else name


def _source(source: str) -> str:
    if QUERY.match(source):
        return f"({source.strip().rstrip(';')}) AS selected"
    return ".".join(map(_quoted, source.split(".")))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
