"""Small dumps as they are published, with their flaws."""

import csv
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


def write_minionerec(folder: Path) -> Path:
    """Writes the splits of one set: four items, of which 2 and 3 share a title."""
    titles = {"0": "Iron Harbor", "1": "Rock's &amp; Roll", "2": '12" Steel', "3": '12" Steel'}
    items = {item: {"title": title, "description": "", "brand": "x"} for item, title in titles.items()}
    index = {item: ["<a_1>", "<b_2>", f"<c_{item}>"] for item in titles}
    histories = {
        "train": [("A7", [0], 1), ("A8", [1, 2], 0)],
        "valid": [("A7", [0, 1], 3)],
        "test": [("A8", [1, 2, 0], 3), ("A9", [3], 2)],
    }
    (folder / "index").mkdir(parents=True)
    (folder / "index/Office_Products.item.json").write_text(json.dumps(items), encoding="utf-8")
    (folder / "index/Office_Products.index.json").write_text(json.dumps(index), encoding="utf-8")
    for split, rows in histories.items():
        (folder / split).mkdir()
        with open(folder / split / "Office_Products_5_2016-10-2018-11.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            history_names = ("history_item_title", "item_title", "history_item_id", "item_id")
            writer.writerow(["user_id", *history_names, "history_item_sid", "item_sid"])
            for user, history, target in rows:
                shown = [titles[str(item)] for item in history]
                tokens = ["".join(index[str(item)]) for item in history]
                last = "".join(index[str(target)])
                writer.writerow([user, shown, titles[str(target)], history, target, tokens, last])
    return folder


def write_sdpo(folder: Path) -> Path:
    """Writes samples whose histories are texts or, in test, lists; the candidate Hope is nowhere else."""
    folder.mkdir(parents=True)
    samples: dict[str, list[tuple[Any, str]]] = {
        "train": [("Boris::Fennesz", "Queen"), ("Queen::Boris::Fennesz", "\u00b5-Ziq")],
        "val": [("Fennesz", "Sodom")],
        "test": [(["Sodom", "Queen"], "Boris")],
    }
    for split, rows in samples.items():
        entries = [
            {"historyList": history, "itemList": ["Hope", target], "trueSelection": target} for history, target in rows
        ]
        (folder / f"lastfm-{split}.json").write_text(json.dumps(entries, indent=4), encoding="utf-8")
    return folder
