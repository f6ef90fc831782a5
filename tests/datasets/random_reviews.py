"""Writes random items and events as Amazon, Steam and Yelp reviews are published; see `random_layouts`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.datasets.random_tables import DAY, WHITE_SPACE, Data, Event, Expected, dump, joined, without_ratings
from tests.datasets.written_text import compressed, json_lines, literals, put, separated


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
