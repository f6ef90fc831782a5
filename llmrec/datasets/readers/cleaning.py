"""Drops rows of a dump that cannot be used: items without a title, unknown items, repeated events."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets.columns import unless_blank
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.readers.codes import codes, decoded
from llmrec.errors import InputError

TAGS = r"<[^<>]*>"
SCRIPT = r"function\s*\(|\bvar \w+\s*=|\.css\b.*\{|@media"
"""Found in titles that were scraped from a script or style sheet of the page instead of its heading."""
BLANKS = r"[\s\x1c-\x1f]+"
MILLISECONDS_FROM = 100_000_000_000
"""Timestamps from here on are milliseconds: as seconds, they would be after the year 5138."""


@dataclass(frozen=True)
class Dump:
    """Items and events as a dump lists them, unread; see `scans` and `table_files`.

    Attributes:
        path: The file of the events, for error messages.
        items: Columns item (String), title (String) and, optionally, categories (List(String)).
        events: Columns user (String), item (String), timestamp (a number of unix seconds or milliseconds) and,
            optionally, rating (a number) and excluded (String: the reason why an event is not to be used, else null).
    """

    path: Path
    items: pl.LazyFrame
    events: pl.LazyFrame


def clean(dump: Dump) -> tuple[Items, Interactions, dict[str, int]]:
    """Reads a dump and drops what cannot be used.

    Dropped are, in this order: items without an id, items that are listed again, items without a title, excluded
    events, events without a user, an item or a time, events of items that are not left, and events with the user, item
    and time of an earlier one. HTML tags are removed from titles; entities such as `&amp;` are kept.

    Returns:
        The items, the events, and the number of dropped rows by reason.

    Raises:
        InputError: A file cannot be read, or nothing is left.
    """
    items, dropped = _items(dump.items)
    interactions, more = _interactions(dump.events, items)
    if not len(interactions):
        raise InputError(f"{dump.path}: no event of an item with a title is left ({dropped | more}). Check the files")
    return items, interactions, dropped | more


def _items(items: pl.LazyFrame) -> tuple[Items, dict[str, int]]:
    has_categories = "categories" in items.collect_schema()
    columns = [unless_blank(pl.col("item")), _title(pl.col("title")).alias("title")]
    if has_categories:
        names = pl.col("categories").list.eval(pl.element().filter(pl.element() != ""))
        columns.append(names.fill_null([]))
    everything = items.select(columns).collect(engine="streaming")
    listed = everything.filter(pl.col("item").is_not_null())
    distinct = listed.unique("item", keep="first", maintain_order=True)
    titled = distinct.filter(pl.col("title") != "")
    categories = titled["categories"].to_list() if has_categories else None
    counts = {
        "items without an id": len(everything) - len(listed),
        "items listed again": len(listed) - len(distinct),
        "items without a title": len(distinct) - len(titled),
    }
    return Items(titled["item"].to_list(), titled["title"].to_list(), categories), counts


def _title(title: pl.Expr) -> pl.Expr:
    """Removes HTML tags and line breaks from titles; scripts and missing titles become ""."""
    text = title.str.replace_all(TAGS, " ").str.replace_all(BLANKS, " ").str.strip_chars(" ")
    return pl.when(title.str.contains(SCRIPT)).then(pl.lit("")).otherwise(text).fill_null("")


def _interactions(events: pl.LazyFrame, items: Items) -> tuple[Interactions, dict[str, int]]:
    names = events.collect_schema().names()
    has_ratings = "rating" in names
    user_id, item_id = (unless_blank(pl.col(name)) for name in ("user", "item"))
    columns = [
        codes(user_id),
        item_id.cast(pl.Enum(items.ids), strict=False).to_physical().cast(pl.Int32),
        _seconds(pl.col("timestamp")).alias("timestamp"),
        pl.all_horizontal(user_id.is_not_null(), item_id.is_not_null(), pl.col("timestamp").is_not_null()).alias(
            "is_complete"
        ),
        *([pl.col("rating").cast(pl.Float32)] if has_ratings else []),
        (pl.col("excluded") if "excluded" in names else pl.lit(None, pl.String)).cast(pl.Categorical).alias("excluded"),
    ]
    # Users and items are numbered while they are read, so that their texts are never in memory together.
    everything = events.select(columns).collect(engine="streaming")
    excluded = everything["excluded"].drop_nulls().cast(pl.String).value_counts(sort=True).rows()
    coded = everything.filter(pl.col("excluded").is_null())
    complete = coded.filter("is_complete")
    known = complete.filter(pl.col("item").is_not_null())
    distinct = known.unique(["user", "item", "timestamp"], keep="first", maintain_order=True)
    users, user = decoded(distinct["user"])
    interactions = Interactions(
        user_ids=users.to_numpy(),
        user=user,
        item=distinct["item"].to_numpy(),
        timestamp=distinct["timestamp"].to_numpy(),
        rating=distinct["rating"].to_numpy() if has_ratings else None,
    )
    counts = {
        **dict(excluded),
        "events without a user, an item or a time": len(coded) - len(complete),
        "events of other items": len(complete) - len(known),
        "repeated events": len(known) - len(distinct),
    }
    return interactions, counts


def _seconds(timestamp: pl.Expr) -> pl.Expr:
    number = timestamp.cast(pl.Int64, strict=False)
    return pl.when(number >= MILLISECONDS_FROM).then(number // 1000).otherwise(number)
