"""Small dumps as they are published, with their flaws."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

USERS, ITEMS = 12, 10
DAY = 86_400


def events() -> list[tuple[str, str, float, int]]:
    """User u has items u, u + 1, ... of ten, one per day, as (user, item, rating, time in seconds)."""
    return [
        (f"U{user}", f"B{(user + step) % ITEMS}", float(1 + step % 5), DAY * (10_000 + user + step))
        for user in range(USERS)
        for step in range(10)
    ]


def write_amazon(folder: Path, year: int, compressed: bool = True) -> Path:
    """Writes the Amazon review data of a year: category Games.

    Of the metadata, item B0 has HTML in its title, B1 is listed twice, and S1 and S2 have no title: a script, and none.
    Among the reviews, the first stands twice, and one is of S1.
    """
    folder.mkdir(parents=True)
    reviews = [*events(), events()[0], ("U0", "S1", 5.0, DAY)]
    titles = {f"B{number}": f"Game &amp; {number}" for number in range(ITEMS)}
    metadata: list[tuple[str, str | None]] = [
        *titles.items(),
        ("B1", "Another title"),
        ("S1", "var aPageStart = 1;"),
        ("S2", None),
    ]
    metadata[0] = ("B0", "<span>Game   &amp; 0</span>")
    write = {2014: _write_2014, 2018: _write_2018, 2023: _write_2023}[year]
    for name, lines in write(reviews, metadata).items():
        text = "".join(f"{line}\n" for line in lines)
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def _review(user: str, item: str, rating: float, time: int) -> str:
    more = {"reviewText": "It's\u2028good", "vote": "2", "style": {"Platform:": " Wii"}}
    return json.dumps({"overall": rating, "reviewerID": user, "asin": item, "unixReviewTime": time, **more})


def _write_2014(reviews: Sequence[Any], metadata: Sequence[tuple[str, str | None]]) -> dict[str, list[str]]:
    rows = [{"asin": item, "title": title, "categories": [["Games", "Wii"], ["Games"]]} for item, title in metadata]
    return {
        "reviews_Games_5.json": [_review(*row) for row in reviews],
        "meta_Games.json": [repr({name: value for name, value in row.items() if value is not None}) for row in rows],
    }


def _write_2018(reviews: Sequence[Any], metadata: Sequence[tuple[str, str | None]]) -> dict[str, list[str]]:
    rows = [{"category": ["Games", "Wii"], "title": title or "", "asin": item, "rank": []} for item, title in metadata]
    return {"Games.json": [_review(*row) for row in reviews], "meta_Games.json": [json.dumps(row) for row in rows]}


def _write_2023(reviews: Sequence[Any], metadata: Sequence[tuple[str, str | None]]) -> dict[str, list[str]]:
    rows = [
        {"title": title, "categories": ["Games", "Wii"], "parent_asin": item, "price": 3} for item, title in metadata
    ]
    lines = [
        json.dumps({"rating": rating, "title": "Fine", "asin": "variant", "parent_asin": item, "user_id": user,
                    "timestamp": 1000 * time + 7, "verified_purchase": True})
        for user, item, rating, time in reviews
    ]  # fmt: skip
    return {"Games.jsonl": lines, "meta_Games.jsonl": [json.dumps(row) for row in rows]}


def write_recbole(folder: Path) -> Path:
    """Writes atomic files: item B1 has no title, and one event is of an item that is not listed."""
    folder.mkdir(parents=True)
    rows = [*events(), ("U0", "X", 1.0, DAY)]
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    inter += [f"{user}\t{item}\t{rating}\t{time}.0" for user, item, rating, time in rows]
    items = ["item_id:token\tmovie_title:token_seq\tclass:token_seq"]
    items += [f"B{number}\t{f'Film {number}' if number != 1 else ''}\tDrama Noir" for number in range(ITEMS)]
    (folder / "ml.inter").write_text("\n".join(inter) + "\n", encoding="utf-8")
    (folder / "ml.item").write_text("\n".join(items) + "\n", encoding="utf-8")
    return folder
