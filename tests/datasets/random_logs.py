"""Writes random items and events as Goodreads, Last.fm and LC-Rec publish them; see `random_layouts`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.datasets.random_tables import WHITE_SPACE, Data, Event, Expected, Item, dump, without_ratings
from tests.datasets.written_text import compressed, json_lines, plain, put, separated


def write_goodreads(folder: Path, data: Data) -> None:
    events = [
        {
            "user_id": event.user, "book_id": event.item, "is_read": event.rating != 3, "rating": int(event.rating),
            "date_added": shelf_date(event.time),
        }
        for event in data.events
    ]  # fmt: skip
    put(compressed(folder / "goodreads_interactions_poetry.json", data), json_lines(events, data), data)
    write_books(folder, data)


def write_books(folder: Path, data: Data) -> None:
    books = [{"book_id": item.id, "title": item.title} for item in data.items]
    put(compressed(folder / "goodreads_books_poetry.json", data), json_lines(books, data), data)


def shelf_date(time: int | None) -> str:
    zone = timezone(timedelta(hours=-7))
    return "" if time is None else datetime.fromtimestamp(time, zone).strftime("%a %b %d %H:%M:%S %z %Y")


def expected_goodreads(events: str) -> Callable[[Data], Expected]:
    """Events of other kinds are counted, and only rated ones keep their ratings."""

    def expected(data: Data) -> Expected:
        wanted = {
            "read": lambda event: event.rating != 3,
            "rated": lambda event: event.rating > 0,
            "all": lambda _: True,
        }
        kept = [event for event in data.events if wanted[events](event)]
        read, counts = dump(data._replace(events=kept))
        if events != "rated":
            read, counts = without_ratings((read, counts))
        reason = {"read": "events of books not read", "rated": "events without a rating"}.get(events, "")
        return read, counts | ({reason: len(data.events) - len(kept)} if len(data.events) > len(kept) else {})

    return expected


def write_goodreads_csv(folder: Path, data: Data) -> None:
    numbers = {
        name: str(100 + number) for number, name in enumerate(dict.fromkeys(item.id for item in data.items if item.id))
    }
    rows = [
        (
            event.user,
            numbers.get(event.item or "", "7" if event.item else ""),
            int(event.rating != 3),
            int(event.rating),
        )
        for event in data.events
    ]
    put(
        folder / "goodreads_interactions.csv",
        separated([("user_id", "book_id", "is_read", "rating"), *rows], data),
        data,
    )
    mapped = [(number, name) for name, number in numbers.items()]
    put(folder / "book_id_map.csv", separated([("book_id_csv", "book_id"), *mapped], data), data)
    write_books(folder, data)


def expected_goodreads_csv(data: Data) -> Expected:
    """The number of the row stands in for the time, and ids that are not mapped are missing."""
    known = {item.id for item in data.items}
    rows = [
        event._replace(time=number, item=event.item if event.item in known else None)
        for number, event in enumerate(data.events)
    ]
    return expected_goodreads("read")(data._replace(events=rows))


def write_lastfm(folder: Path, data: Data) -> None:
    name = {item.id: item.title for item in data.items}
    rows = [
        (event.user, event.time and datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "id",
         name.get(event.item, event.item), "", "t")
        for event in data.events
    ]  # fmt: skip
    path = compressed(folder / "userid-timestamp-artid-artname-traid-traname.tsv", data)
    put(path, plain([*rows, ("cut", "line")], data, "\t"), data)


def expected_lastfm(data: Data) -> Expected:
    """What was played are the items, without the blanks around their names."""
    name = {item.id: item.title for item in data.items}
    events = [
        event._replace(
            user=event.user and event.user.strip(WHITE_SPACE),
            item=f"{(name.get(event.item, event.item) or '').strip(WHITE_SPACE)} - t"
            if name.get(event.item, event.item)
            else None,
        )
        for event in data.events
    ]
    played = [Item(title, title) for title in dict.fromkeys(event.item for event in events) if title]
    return without_ratings(dump(data._replace(items=played, events=[*events, Event(None, None, None)])))


def write_lcrec(folder: Path, data: Data) -> None:
    sequences: dict[str, list[Any]] = {}
    for event in data.events:
        sequences.setdefault(str(event.user), []).append(event.item)
    items = {
        str(item.id): {"title": item.title, "description": "", "categories": " , ".join(item.categories or [])}
        for item in data.items
    }
    put(folder / "Arts.inter.json", json.dumps(sequences), data)
    put(folder / "Arts.item.json", json.dumps(items, ensure_ascii=True, indent=data.style.choice([None, 4])), data)


def expected_lcrec(data: Data) -> Expected:
    """Events are those of each user in turn, and their positions stand in for times."""
    users: dict[Any, list[Event]] = {}
    for event in data.events:
        users.setdefault(event.user, []).append(event)
    events = [event._replace(time=number, rating=None) for rows in users.values() for number, event in enumerate(rows)]
    items = {item.id: item for item in data.items}
    categories = [[name.strip(WHITE_SPACE) for name in item.categories or []] for item in items.values()]
    kept = [item._replace(categories=names) for item, names in zip(items.values(), categories, strict=True)]
    return dump(data._replace(items=kept, events=events))
