"""Writes random items and events in all formats of the generic reader; see `test_round_trips`."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.datasets.random_tables import WHITE_SPACE, Data, Event, Item, Read, data, joined, numbers, texts
from tests.datasets.written_text import json_lines, put, separated

TABLES = ("interactions", "items")
INTERACTIONS, ITEMS = ("user", "item", "timestamp", "rating"), ("item", "title", "categories")
QUARTER = 250_000
"""Microseconds."""
Row = dict[str, Any]


class Form(NamedTuple):
    """How times are written.

    Attributes:
        unit: Name of the unit in the counts of the reader.
        is_finer: Whether it has fractions of a second.
        write: Writes a time in microseconds.
    """

    unit: str
    is_finer: bool
    write: Callable[[int], Any]


def iso(microseconds: int, zone: timezone = UTC) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, zone).isoformat()


FORMS = (
    Form("seconds", False, lambda time: time // 1_000_000),
    Form("seconds", False, lambda time: f"{time // 1_000_000}.0"),
    Form("seconds", True, lambda time: f"{time / 1e6:.2f}"),
    Form("milliseconds", True, lambda time: time // 1_000),
    Form("microseconds", True, lambda time: time),
    Form("nanoseconds", True, lambda time: time * 1_000),
    Form("dates", True, lambda time: iso(time).replace("+00:00", "Z")),
    Form("dates", True, lambda time: iso(time, timezone(timedelta(hours=5, minutes=30)))),
    Form("dates without zone", True, lambda time: iso(time).removesuffix("+00:00").replace("T", " ")),
)


def form(data: Data) -> Form:
    """The form of the times of data."""
    return FORMS[len(data.events) % len(FORMS)]


def microseconds(data: Data) -> list[int]:
    """The time of each event; where fractions can be written, later events of a second are earlier within it."""
    return [
        event.time * 1_000_000 + (3 - number % 4) * QUARTER * form(data).is_finer
        for number, event in enumerate(data.events)
        if event.time is not None
    ]


def tables(data: Data) -> dict[str, list[Row]]:
    """Both tables as rows."""
    times = map(form(data).write, microseconds(data))
    events = [
        dict(zip(INTERACTIONS, (event.user, event.item, time, event.rating), strict=True))
        for event, time in zip(data.events, times, strict=True)
    ]
    return {"interactions": events, "items": [dict(zip(ITEMS, item, strict=True)) for item in data.items]}


def write_separated(extension: str, separator: str) -> Callable[[Path, Data], None]:
    def write(folder: Path, data: Data) -> None:
        for stem, rows in tables(data).items():
            cells = [["|".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
            put(folder / f"{stem}.{extension}", separated([list(rows[0]), *cells], data, separator), data)

    return write


def write_json(extension: str) -> Callable[[Path, Data], None]:
    def write(folder: Path, data: Data) -> None:
        for stem, rows in tables(data).items():
            # The writer may leave missing values out, but then no row would name the column.
            put(folder / f"{stem}.{extension}", json_lines([*rows], data), data)

    return write


def columns_of(rows: Sequence[Row], data: Data) -> pa.Table:
    """Rows as a table whose texts are of one of Arrow's types."""
    text = data.style.choice([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
    types = {"user": text, "item": text, "title": text, "categories": pa.list_(pa.string()), "rating": pa.float64()}
    arrays = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    return pa.table(arrays)


def write_parquet(folder: Path, data: Data) -> None:
    for stem, rows in tables(data).items():
        pq.write_table(columns_of(rows, data), folder / f"{stem}.parquet")


def write_parts(folder: Path, data: Data) -> None:
    for stem, rows in tables(data).items():
        (folder / stem).mkdir()
        table, cut = columns_of(rows, data), data.style.randint(0, len(rows))
        for number, part in enumerate((table[:cut], table[cut:])):
            pq.write_table(part, folder / stem / f"part-{number:05}.parquet")


def write_sqlite(folder: Path, data: Data) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        for stem, rows in tables(data).items():
            connection.execute(f"create table {stem} ({', '.join(f'{name} text' for name in rows[0])})")
            cells = [["|".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
            connection.executemany(f"insert into {stem} values ({', '.join('?' * len(rows[0]))})", cells)
    connection.close()


def expected(data: Data, order: Sequence[int] | None = None) -> Read:
    """What is to be read: in order of time where times are finer than seconds, else in file order.

    Args:
        data: What was written.
        order: The order of the events in the file, if it is another one.
    """
    times = microseconds(data)
    in_file = order or range(len(times))
    found = sorted(in_file, key=lambda number: times[number]) if form(data).is_finer else in_file
    users = whole_ids([event.user or "" for event in data.events])
    ids = whole_ids([item.id or "" for item in data.items])
    index = {item.id: name for item, name in zip(data.items, ids, strict=True)}
    events = [Event(users[n], index[data.events[n].item], times[n] // 1_000_000, data.events[n].rating) for n in found]
    items = [Item(name, item.title, item.categories) for item, name in zip(data.items, ids, strict=True)]
    return Read(items, events)


def expected_json(data: Data) -> Read:
    """Halves of emoji are replaced; if no item has categories, there are none."""
    read = expected(data)
    has_categories = any(item.categories is not None for item in read.items)
    items = [
        Item(
            item.id,
            joined(item.title or ""),
            [joined(name) for name in item.categories or []] if has_categories else None,
        )
        for item in read.items
    ]
    return Read(items, read.events)


def expected_text(data: Data, order: Sequence[int] | None = None) -> Read:
    """Blank text is no category, but the column is there."""
    read = expected(data, order)
    return Read([item._replace(categories=item.categories or []) for item in read.items], read.events)


def expected_sqlite(data: Data) -> Read:
    """Rows are sorted by their values, so that equal data gives equal files."""
    written = tables(data)["interactions"]

    def key(number: int) -> list[bytes]:
        row = written[number]
        # A missing rating is first.
        rating = b"" if row["rating"] is None else str(row["rating"]).encode()
        return [*(str(row[name]).encode() for name in ("user", "timestamp", "item")), rating]

    items = sorted(data.items, key=lambda item: [str(item.id).encode(), str(item.title).encode()])
    return expected_text(data._replace(items=items), sorted(range(len(written)), key=key))


def whole_ids(ids: list[str]) -> list[str]:
    """Ids without a fraction of zero, if all have one."""
    is_float = all(re.fullmatch(r"[+-]?[0-9]{1,15}\.0+", name, re.ASCII) for name in ids)
    return [name.partition(".")[0] for name in ids] if is_float else ids


@st.composite
def exports(draw: Any, categories: Any, surrogates: bool = False) -> Data:
    """Data of which every third item has no categories."""
    names = draw(st.sampled_from([texts(), numbers(), numbers().map("{}.0".format)]))
    found = draw(data(names, texts(surrogates=surrogates), texts(), categories, ratings=(0.5, 1.0, 10.0)))
    items = [item._replace(categories=None) if n % 3 == 2 else item for n, item in enumerate(found.items)]
    return found._replace(items=items)


LABELS = texts("|", is_valid=lambda text: text == text.strip(WHITE_SPACE) != "")
TEXT, LISTS = exports(LABELS), exports(texts(), surrogates=True)
EXPORTS: dict[str, tuple[Any, Callable[[Path, Data], None], Callable[[Data], Read]]] = {
    "csv": (TEXT, write_separated("csv", ","), expected_text),
    "semicolons": (TEXT, write_separated("csv", ";"), expected_text),
    "tabs": (TEXT, write_separated("tsv", "\t"), expected_text),
    "csv.gz": (TEXT, write_separated("csv.gz", ","), expected_text),
    "csv.zst": (TEXT, write_separated("csv.zst", ","), expected_text),
    "jsonl": (LISTS, write_json("jsonl"), expected_json),
    "jsonl.gz": (LISTS, write_json("jsonl.gz"), expected_json),
    "jsonl.zst": (LISTS, write_json("jsonl.zst"), expected_json),
    "parquet": (exports(texts()), write_parquet, expected_json),
    "parts": (exports(texts()), write_parts, expected_json),
    "sqlite": (TEXT, write_sqlite, expected_sqlite),
}
