"""Writes texts in the forms in which files are published: CSV, JSON lines and Python literals, also compressed."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.datasets.random_tables import Data, joined


def put(path: Path, text: str, data: Data, encoding: str = "utf-8") -> None:
    """Writes a text, now and then with a byte order mark; to a file whose name ends in .gz or .zst, compressed."""
    mark = "\ufeff" if encoding == "utf-8" and data.style.random() < 0.1 else ""
    content = (mark + text).encode(encoding)
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zst":
        content = pa.compress(content, "zstd", asbytes=True)
    path.write_bytes(content)


def compressed(path: Path, data: Data) -> Path:
    """The path, or the one of a compressed file."""
    return path.with_name(path.name + data.style.choice(["", ".gz"]))


def json_lines(rows: Sequence[Mapping[str, Any]], data: Data) -> str:
    """Rows as JSON lines, in which missing values are null, "" or not there, with or without non-ASCII characters."""
    given = [
        {key: value for key, value in row.items() if value is not None or data.style.random() < 0.5} for row in rows
    ]
    is_ascii = data.style.random() < 0.5 or any(joined(text) != text for row in rows for text in row_texts(row))
    return "\n".join(json.dumps(row, ensure_ascii=is_ascii) for row in given) + data.style.choice(["", "\n", "\n\n"])


def row_texts(value: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from row_texts(entry)


def literals(rows: Sequence[Mapping[str, Any]], data: Data) -> str:
    """Rows as Python literals, as Python 2 or 3 wrote them."""
    given = [{key: value for key, value in row.items() if value is not None} for row in rows]
    return "\n".join((ascii if data.style.random() < 0.5 else safe_repr)(row) for row in given)


def safe_repr(row: Any) -> str:
    """The representation of a row; with lone surrogates, which no file can hold, in ASCII."""
    return ascii(row) if any(joined(text) != text for text in row_texts(row)) else repr(row)


def separated(rows: Sequence[Sequence[Any]], data: Data, separator: str = ",") -> str:
    """Rows as CSV, as pandas and as spreadsheets write it."""
    text = io.StringIO()
    everything, end = data.style.choice([(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")])
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=everything)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue() + data.style.choice(["", end])


def plain(rows: Sequence[Sequence[Any]], data: Data, separator: str) -> str:
    """Rows without quotes."""
    end = data.style.choice(["\n", "\r\n"])
    return end.join(separator.join("" if value is None else str(value) for value in row) for row in rows) + end
