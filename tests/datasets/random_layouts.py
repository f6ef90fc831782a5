"""Writes random items and events in the layouts of interactions, as they are published; see `test_round_trips`."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from llmrec.datasets.readers.movielens_tables import GENRES
from tests.datasets.random_tables import (
    DAY,
    WHITE_SPACE,
    Data,
    Event,
    Item,
    Read,
    cleaned,
    data,
    flawed,
    joined,
    numbers,
    texts,
)  # fmt: skip

Expected = tuple[Read, dict[str, int] | None]
LINE_BREAKS = "\n\r"
HALF_STARS = [number / 2 for number in range(1, 11)]
GENRE = st.sampled_from(GENRES)


@dataclass(frozen=True)
class Layout:
    """A layout of interactions.

    Attributes:
        reader: The reader's class below llmrec.datasets.readers.
        data: A strategy of `Data` that the layout can hold.
        write: Writes data to a folder.
        expected: What is to be read, and the counts of dropped rows; None for a reader that drops nothing.
        settings: Settings of the reader.
    """

    reader: str
    data: Any
    write: Callable[[Path, Data], None]
    expected: Callable[[Data], Expected]
    settings: Mapping[str, Any] = field(default_factory=dict)


def whole(data: Data) -> Expected:
    """Everything is read as it was written."""
    return Read(data.items, data.events), None


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


def row_texts(row: Any) -> list[str]:
    """All texts in a row."""
    if isinstance(row, Mapping):
        row = list(row.values())
    return (
        [row]
        if isinstance(row, str)
        else [t for entry in row for t in row_texts(entry)]
        if isinstance(row, list)
        else []
    )


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


def dump(data: Data) -> Expected:
    """What readers of dumps make of items and events: categories are without blank ones."""
    items = [
        item._replace(categories=[joined(name) for name in item.categories if name])
        if item.categories is not None
        else item
        for item in data.items
    ]
    return cleaned(items, data.events)


def write_movielens_100k(folder: Path, data: Data) -> None:
    flags = [[int(genre in (item.categories or [])) for genre in GENRES] for item in data.items]
    films = [[*item[:2], "01-Jan-1995", "", "http://x", *row] for item, row in zip(data.items, flags, strict=True)]
    put(folder / "u.data", plain([ratings_row(event) for event in data.events], data, "\t"), data, "latin-1")
    encodings = ["utf-8", *(["latin-1"] if all(is_latin_1(str(item.title)) for item in data.items) else [])]
    put(folder / "u.item", plain(films, data, "|"), data, data.style.choice(encodings))


def is_latin_1(text: str) -> bool:
    """Whether Latin-1 has the characters of a text and its bytes are not taken for UTF-8."""
    try:
        text.encode("latin-1").decode()
    except UnicodeEncodeError:
        return False
    except UnicodeDecodeError:
        return True
    return text.isascii()


def ratings_row(event: Event) -> tuple[Any, ...]:
    return event.user, event.item, f"{event.rating:g}", event.time


def write_movielens_1m(folder: Path, data: Data) -> None:
    films = [[item.id, item.title, "|".join(item.categories or [])] for item in data.items]
    put(folder / "movies.dat", plain(films, data, "::"), data)
    put(folder / "ratings.dat", plain([ratings_row(event) for event in data.events], data, "::"), data)


def write_movielens_10m(folder: Path, data: Data) -> None:
    write_movielens_1m(folder, data)
    (folder / "tags.dat").write_text("1::1::x::1\n")


def write_movielens_latest(folder: Path, data: Data) -> None:
    films = [[item.id, item.title, "|".join(item.categories or ["(no genres listed)"])] for item in data.items]
    put(folder / "movies.csv", separated([["movieId", "title", "genres"], *films], data), data)
    names = ("userId", "movieId", "rating", "timestamp")
    put(folder / "ratings.csv", plain([names, *map(ratings_row, data.events)], data, ","), data)


def write_recbole(folder: Path, data: Data) -> None:
    header = ("user_id:token", "item_id:token", "timestamp:float", "rating:float")
    rows = [
        (*event[:2], event.time and f"{event.time}{data.style.choice(['', '.0', '.5'])}", event.rating)
        for event in data.events
    ]
    put(folder / "x.inter", plain([header, *rows], data, "\t"), data)
    items = [[item.id, item.title, " ".join(item.categories or [])] for item in data.items]
    put(folder / "x.item", plain([("item_id:token", "title:token_seq", "class:token_seq"), *items], data, "\t"), data)


def amazon_review(event: Event, names: Sequence[str], scale: int = 1) -> dict[str, Any]:
    time = None if event.time is None else event.time * scale
    return {
        **dict(zip(names, (event.user, event.item, event.rating, time), strict=True)),
        "style": {"Size:": "x\u2028"},
    }


def write_amazon_2014(folder: Path, data: Data) -> None:
    names = ("reviewerID", "asin", "overall", "unixReviewTime")
    rows = [amazon_review(event, names) for event in data.events]
    put(compressed(folder / "reviews_Games_5.json", data), json_lines(rows, data), data)
    items = [
        {"asin": item.id, "title": item.title, "categories": [[name] for name in item.categories or []]}
        for item in data.items
    ]
    put(compressed(folder / "meta_Games.json", data), literals(items, data), data)


def expected_2014(data: Data) -> Expected:
    """Categories are without repetition."""
    items = [item._replace(categories=list(dict.fromkeys(map(joined, item.categories or [])))) for item in data.items]
    return dump(data._replace(items=items))


def write_amazon_2018(folder: Path, data: Data) -> None:
    names = ("reviewerID", "asin", "overall", "unixReviewTime")
    rows = [amazon_review(event, names) for event in data.events]
    put(compressed(folder / "Games.json", data), json_lines(rows, data), data)
    items = [{"asin": item.id, "title": item.title, "category": item.categories} for item in data.items]
    put(compressed(folder / "meta_Games.json", data), json_lines(items, data), data)


def write_meta_2023(folder: Path, data: Data) -> None:
    items = [{"parent_asin": item.id, "title": item.title, "categories": item.categories} for item in data.items]
    put(compressed(folder / "meta_Games.jsonl", data), json_lines(items, data), data)


def write_amazon_2023(folder: Path, data: Data) -> None:
    write_meta_2023(folder, data)
    rows = [amazon_review(event, ("user_id", "parent_asin", "rating", "timestamp"), 1000) for event in data.events]
    put(compressed(folder / "Games.jsonl", data), json_lines(rows, data), data)


def write_amazon_2023_csv(folder: Path, data: Data) -> None:
    write_meta_2023(folder, data)
    rows = [(*event[:2], event.rating, event.time and event.time * 1000 + 7) for event in data.events]
    table = separated([("user_id", "parent_asin", "rating", "timestamp"), *rows], data)
    put(compressed(folder / "Games.csv", data), table, data)


def write_steam(folder: Path, data: Data) -> None:
    reviews = [
        {"username": event.user, "product_id": event.item, "date": day(event.time), "text": "It's\u2028x"}
        for event in data.events
    ]
    put(compressed(folder / "steam_reviews.json", data), literals(reviews, data), data)
    games: list[dict[str, Any]] = [
        {"id": item.id, data.style.choice(["title", "app_name"]): item.title, "genres": item.categories}
        for item in data.items
    ]
    put(compressed(folder / "steam_games.json", data), literals(games, data), data)


def day(time: int | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def expected_steam(data: Data) -> Expected:
    """Times are midnights, and there are no ratings."""
    at_midnight = [event._replace(time=event.time and event.time // DAY * DAY) for event in data.events]
    return without_ratings(dump(data._replace(events=at_midnight)))


def without_ratings(expected: Expected) -> Expected:
    read, counts = expected
    return read._replace(events=[event._replace(rating=None) for event in read.events]), counts


def write_yelp(folder: Path, data: Data) -> None:
    reviews = [
        {"user_id": event.user, "business_id": event.item, "stars": event.rating, "date": second(event.time)}
        for event in data.events
    ]
    put(compressed(folder / "yelp_academic_dataset_review.json", data), json_lines(reviews, data), data)
    businesses = [
        {
            "business_id": item.id, "name": item.title, "city": "Reno",
            "categories": None if item.categories is None else ", ".join(item.categories),
        }
        for item in data.items
    ]  # fmt: skip
    put(compressed(folder / "yelp_academic_dataset_business.json", data), json_lines(businesses, data), data)


def second(time: int | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def expected_yelp(data: Data) -> Expected:
    """Titles are the stripped name and the city."""
    names = [(item.title or "").strip(WHITE_SPACE) for item in data.items]
    items = [
        item._replace(title=f"{name}, Reno" if name else None) for item, name in zip(data.items, names, strict=True)
    ]
    return dump(data._replace(items=items))


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


DUMP_TITLES = texts(surrogates=True)
JSON_DUMP = flawed(data(texts(), DUMP_TITLES, texts(), texts(surrogates=True)), DUMP_TITLES)
NO_CATEGORIES = flawed(data(texts(), DUMP_TITLES, texts(), ratings=(0.0, 1.0, 3.0)), DUMP_TITLES)
TAB_TEXTS = texts("\t" + LINE_BREAKS)
WORDS = texts(" \t" + LINE_BREAKS)
# At the start of a file, U+FEFF is a byte order mark.
FIRST_IN_FILE = texts("\ufeff\t" + LINE_BREAKS)
FILM_TITLES = texts(LINE_BREAKS + "|")
DAT_TITLES = texts(LINE_BREAKS, is_valid=lambda text: text.strip(WHITE_SPACE) and "::" not in text and text[-1] != ":")
GENRES_100K = data(numbers(), FILM_TITLES, numbers(), GENRE).map(
    lambda d: d._replace(items=[i._replace(categories=[g for g in GENRES if g in i.categories]) for i in d.items])
)
NOT_SPLIT = texts(",", is_valid=lambda text: text.strip(WHITE_SPACE) and not set(text) & set("\x1c\x1d\x1e\x1f"))
LAYOUTS = {
    "movielens_100k": Layout("movielens.MovieLens", GENRES_100K, write_movielens_100k, whole),
    "movielens_1m": Layout(
        "movielens.MovieLens", data(numbers(), DAT_TITLES, numbers(), GENRE), write_movielens_1m, whole
    ),
    "movielens_10m": Layout(
        "movielens.MovieLens", data(numbers(), DAT_TITLES, numbers(), GENRE, HALF_STARS), write_movielens_10m, whole
    ),
    "movielens_latest": Layout(
        "movielens.MovieLens", data(numbers(), texts(), numbers(), GENRE, HALF_STARS), write_movielens_latest, whole
    ),
    "recbole": Layout(
        "recbole.RecBole", flawed(data(TAB_TEXTS, TAB_TEXTS, TAB_TEXTS, WORDS), TAB_TEXTS), write_recbole, dump
    ),
    "amazon_2014": Layout("amazon.Amazon2014", JSON_DUMP, write_amazon_2014, expected_2014),
    "amazon_2018": Layout("amazon.Amazon2018", JSON_DUMP, write_amazon_2018, dump),
    "amazon_2023": Layout("amazon.Amazon2023", JSON_DUMP, write_amazon_2023, dump),
    "amazon_2023_csv": Layout("amazon.Amazon2023", JSON_DUMP, write_amazon_2023_csv, dump),
    "steam": Layout("steam.Steam", JSON_DUMP, write_steam, expected_steam),
    "yelp": Layout(
        "yelp.Yelp", flawed(data(texts(), DUMP_TITLES, texts(), texts(",")), DUMP_TITLES), write_yelp, expected_yelp
    ),
    **{
        f"goodreads_{events}": Layout(
            "goodreads.Goodreads", NO_CATEGORIES, write_goodreads, expected_goodreads(events), {"events": events}
        )
        for events in ("read", "rated", "all")
    },
    "goodreads_csv": Layout("goodreads.Goodreads", NO_CATEGORIES, write_goodreads_csv, expected_goodreads_csv),
    "lastfm": Layout(
        "lastfm.LastFM", flawed(data(TAB_TEXTS, TAB_TEXTS, FIRST_IN_FILE), TAB_TEXTS), write_lastfm, expected_lastfm
    ),
    "lcrec": Layout("lcrec.LCRec", data(texts(), DUMP_TITLES, texts(), NOT_SPLIT), write_lcrec, expected_lcrec),
}
