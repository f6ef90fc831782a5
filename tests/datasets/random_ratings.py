"""Writes random items and events as MovieLens and RecBole publish them; see `random_layouts`."""

from pathlib import Path
from typing import Any

from llmrec.datasets.readers.movielens_tables import GENRES
from tests.datasets.random_tables import Data, Event
from tests.datasets.written_text import plain, put, separated


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
