"""Small dumps of Steam, Yelp, Goodreads, Last.fm and LC-Rec as they are published, with their flaws."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.datasets.dumps import DAY, ITEMS, events


def write_steam(folder: Path) -> Path:
    """Writes Python literals with prefixes of text, as Python 2 wrote them.

    Of the games, B1 has only an app_name, B2 is listed twice, S2 has no title at all, and one has no id. Of the
    reviews, the first stands twice, one has no date, and one is of a game that is not listed.
    """
    folder.mkdir(parents=True)
    games = [{"id": f"B{number}", "title": f"Game's {number}", "genres": ["Action"]} for number in range(ITEMS)]
    games[1] = {"id": "B1", "app_name": "Game's 1"}
    games += [{"id": "B2", "title": "Again"}, {"id": "S2", "price": 4.99}, {"title": "No id", "early_access": False}]
    reviews = [_steam_review(user, item, _day(time)) for user, item, _, time in events()]
    reviews += [reviews[0], _steam_review("U0", "B1", ""), _steam_review("U0", "X", "2017-12-17")]
    for name, rows in {"steam_reviews": reviews, "steam_games": games}.items():
        (folder / f"{name}.json.gz").write_bytes(gzip.compress("".join(f"{_literal(row)}\n" for row in rows).encode()))
    return folder


def _steam_review(user: str, item: str, date: str) -> dict[str, Any]:
    return {"username": user, "hours": 0.1, "product_id": item, "date": date, "text": 'It\'s "é"', "page": 1}


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return f"u{value!a}" if isinstance(value, str) else repr(value)


def write_yelp(folder: Path) -> Path:
    """Writes JSON lines, the last of which is blank.

    Of the businesses, B1 has no city, B2 no categories and S2 no name. Of the reviews, the first has only a date, which
    is the midnight of its time, and stands twice.
    """
    folder.mkdir(parents=True)
    businesses: list[dict[str, Any]] = [
        {"business_id": f"B{number}", "name": f"Café & {number}", "city": "Reno", "categories": "Food, Coffee & Tea"}
        for number in range(ITEMS)
    ]
    businesses[1]["city"] = " "
    businesses[2]["categories"] = None
    businesses.append({"business_id": "S2", "name": "", "city": "Reno"})
    reviews = [
        {"user_id": user, "business_id": item, "stars": stars, "date": f"{_day(time)} 00:00:00", "text": "x\n"}
        for user, item, stars, time in events()
    ]
    reviews = [{**reviews[0], "date": reviews[0]["date"][:10]}, *reviews]
    write_json_lines(folder / "yelp_academic_dataset_business.json", businesses)
    write_json_lines(folder / "yelp_academic_dataset_review.json", reviews)
    return folder


def write_goodreads(folder: Path, genre: str = "") -> Path:
    """Writes interactions with dates of Los Angeles; `genre` ends the files' names, as in _children.

    Book B1 has no title. Four of five events are of books that were read; of one of these, read_at is blank. Every
    second event is rated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    books = [{"book_id": f"B{number}", "title": f"Book {number}", "isbn": ""} for number in range(ITEMS)]
    books[1]["title"] = ""
    rows = [
        {"user_id": user, "book_id": item, "is_read": number % 5 > 0, "rating": int(stars) if number % 2 else 0,
         "date_added": _pacific(time), "date_updated": _pacific(time + 2 * DAY), "started_at": _pacific(time + 1),
         "read_at": _pacific(time + DAY) if number % 5 > 1 else ""}
        for number, (user, item, stars, time) in enumerate(events())
    ]  # fmt: skip
    write_json_lines(folder / f"goodreads_books{genre}.json.gz", books)
    write_json_lines(folder / f"goodreads_interactions{genre}.json.gz", rows)
    return folder


def write_goodreads_csv(folder: Path) -> Path:
    """Writes the interactions of `write_goodreads` as numbers, without dates, and the ids of the books."""
    write_goodreads(folder)
    (folder / "goodreads_interactions.json.gz").unlink()
    lines = [
        f"{user[1:]},{100 + int(item[1:])},{int(number % 5 > 0)},{int(stars) if number % 2 else 0},0"
        for number, (user, item, stars, _) in enumerate(events())
    ]
    text = "\n".join(["user_id,book_id,is_read,rating,is_reviewed", *lines])
    (folder / "goodreads_interactions.csv").write_text(f"{text}\n")
    ids = "\n".join(["book_id_csv,book_id", *(f"{100 + number},B{number}" for number in range(ITEMS))])
    (folder / "book_id_map.csv").write_text(f"{ids}\n")
    return folder


def write_lastfm(folder: Path) -> Path:
    """Writes plays without header: B<n> is track n of artist n // 2, with a quote in its name; artist 2 has no id.

    One line is cut in two by a line break in a name, one has no track, one is blank, and the last has no line feed.
    """
    folder.mkdir(parents=True)
    lines = [
        f"{user}\t{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}\t{'' if item == 'B2' else 'mb-1'}\t"
        f'Artist {int(item[1:]) // 2}\t\t"Track {item}'
        for user, item, _, time in events()
    ]
    start = "U0\t2009-05-04T23:08:57Z\t\t"
    broken = [f"{start}A", "B\t\tTrack", f"{start}Artist 1\t\t", ""]
    (folder / "userid-timestamp-artid-artname-traid-traname.tsv").write_text("\n".join([*broken, *lines]))
    return folder


def write_lcrec(folder: Path) -> Path:
    """Writes users with eight of nine items each; item 9 is of nobody, item 8 has no title and 77 is not listed."""
    folder.mkdir(parents=True)
    sequences = {str(user): [(user + step) % 9 for step in range(8)] for user in range(12)}
    sequences["0"].append(77)
    items: dict[str, Any] = {
        str(number): {"title": f"Pen {number}", "description": "", "brand": "", "categories": "Office,Pens "}
        for number in range(10)
    }
    items["8"]["title"] = ""
    index = {item: ["<a_0>", f"<b_{item}>"] for item in items}
    for name, content in {"inter": sequences, "item": items, "index": index}.items():
        (folder / f"Arts.{name}.json").write_text(json.dumps(content, indent=4), encoding="utf-8")
    return folder


def write_json_lines(path: Path, rows: Sequence[Any]) -> None:
    content = ("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def _pacific(time: int) -> str:
    return datetime.fromtimestamp(time, timezone(timedelta(hours=-7))).strftime("%a %b %d %H:%M:%S %z %Y")
