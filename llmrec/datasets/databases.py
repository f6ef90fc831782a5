"""Copies tables of a database to Parquet files, which the generic reader reads. Imported by `llmrec.prepare` only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from llmrec.errors import InputError, shortened

SQLITE = "sqlite"
SCHEMES = (SQLITE, "postgresql", "postgres")
QUERY = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
INFERENCE_ROWS = 100_000
"""Rows from which the SQLite driver infers the types of columns, since SQLite has none."""
FORMS = "sqlite:///shop.db (four slashes for an absolute path) or postgresql://USER@HOST/DATABASE"


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


def is_database(path: str) -> bool:
    """Returns whether a path is the URL of a database."""
    return "://" in path


def database_name(url: str) -> str:
    """Returns the name of a database without the folder and the ending of its file."""
    return Path(_parsed(url).path).stem


def shown_url(url: str) -> str:
    """Returns the URL of a database without user, password and options, for messages."""
    return _shown(_parsed(url))


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
    parsed = _parsed(url)
    with _described(parsed, "", "Check the URL, and that the server runs"), _connection(parsed, url) as connection:
        for stem, selection in selections.items():
            where = f", {stem}={shortened(selection.source)}"
            with _described(parsed, where, "Correct the name or the query"), connection.cursor() as cursor:
                query = _query(cursor, selection, _shown(parsed) + where)
                if parsed.scheme == SQLITE:
                    cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": INFERENCE_ROWS})
                cursor.execute(query)
                _write(cursor.fetch_record_batch(), folder / f"{stem}.parquet")


def _parsed(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
        parsed.port  # noqa: B018, raises ValueError for what is no number
    except ValueError as error:
        raise InputError(_not_a_url()) from error
    # A / in a password ends the part with the host too early.
    is_broken = parsed.scheme != SQLITE and "@" in parsed.path
    if parsed.scheme not in SCHEMES or is_broken or not parsed.path.strip("/"):
        raise InputError(_not_a_url())
    return parsed


def _not_a_url() -> str:
    # The URL is not shown, since its password cannot be told from the rest.
    return f"path=: not the URL of a database. Give {FORMS}; write @ : / in a password as %40 %3A %2F"


def _shown(parsed: SplitResult) -> str:
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"


@contextmanager
def _described(parsed: SplitResult, where: str, remedy: str) -> Iterator[None]:
    """Turns errors of a driver into ones that name the database, without the password."""
    import pyarrow as pa
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, pa.ArrowException) as error:
        text = " ".join(str(error).split()).removeprefix("IO: ")
        for secret in _passwords(parsed):
            text = text.replace(secret, "***")
        raise InputError(f"{_shown(parsed)}{where}: {shortened(text, 300).rstrip('.')}. {remedy}") from error


def _passwords(parsed: SplitResult) -> set[str]:
    """Returns the passwords in a URL, as they stand there and decoded."""
    given = [parsed.password or "", *parse_qs(parsed.query).get("password", [])]
    return {*given, *map(unquote, given)} - {""}


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
        raise InputError(f"{_shown(parsed)}: there is no file {file}. Give {FORMS}")
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
