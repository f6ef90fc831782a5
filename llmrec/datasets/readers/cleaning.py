"""Drops rows of a dump that cannot be used: items without a title, unknown items, repeated events."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.errors import InputError

TAGS = re.compile(r"<[^<>]*>")
SCRIPT = re.compile(r"function\s*\(|\bvar \w+\s*=|\.css\b.*\{|@media")
"""Found in titles that were scraped from a script or style sheet of the page instead of its heading."""
MILLISECONDS_FROM = 100_000_000_000
"""Timestamps from here on are milliseconds: as seconds, they would be after the year 5138."""


@dataclass(frozen=True)
class Dump:
    """Items and events as a dump lists them.

    Attributes:
        path: The file of the events, for error messages.
        items: Columns item (string), title (string) and, optionally, categories (list of strings).
        events: Columns user (string), item (string), timestamp (int64, unix seconds or milliseconds) and, optionally,
            rating (float).
    """

    path: Path
    items: pa.Table
    events: pa.Table


def clean(dump: Dump) -> tuple[Items, Interactions, dict[str, int]]:
    """Drops what cannot be used.

    Dropped are, in this order: items that are listed again, items without a title, events without a user, an item or a
    time, events of items that are not left, and events with the user, item and time of an earlier one. HTML tags are
    removed from titles; entities such as `&amp;` are kept.

    Returns:
        The items, the events, and the number of dropped rows by reason.

    Raises:
        InputError: Nothing is left.
    """
    items, dropped = _items(dump.items)
    interactions, more = _interactions(dump.events, items)
    if not len(interactions):
        raise InputError(f"{dump.path}: no event of an item with a title is left ({dropped | more}). Check the files")
    return items, interactions, dropped | more


def _items(table: pa.Table) -> tuple[Items, dict[str, int]]:
    table = table.filter(pc.is_valid(table["item"]))
    _, first = np.unique(table["item"].to_numpy(zero_copy_only=False).astype(str), return_index=True)
    distinct = table.take(np.sort(first))
    titles = [_title(title) for title in distinct["title"].to_pylist()]
    titled = distinct.filter(pa.array([bool(title) for title in titles]))
    categories = titled["categories"].to_pylist() if "categories" in table.column_names else None
    items = Items(
        titled["item"].to_pylist(),
        [title for title in titles if title],
        categories and [[name for name in names or () if name] for names in categories],
    )
    counts = {"items listed again": len(table) - len(distinct), "items without a title": len(distinct) - len(titled)}
    return items, counts


def _title(text: str | None) -> str:
    """Returns a title without HTML tags, in one line; "" if there is none."""
    if not text or SCRIPT.search(text):
        return ""
    return " ".join(TAGS.sub(" ", text).split())


def _interactions(events: pa.Table, items: Items) -> tuple[Interactions, dict[str, int]]:
    complete = events
    for name in ("user", "item", "timestamp"):
        complete = complete.filter(pc.is_valid(complete[name]))
    item = pc.index_in(complete["item"].combine_chunks(), value_set=pa.array(items.ids, pa.string()))
    known = complete.filter(pc.is_valid(item))
    user = known["user"].combine_chunks().dictionary_encode()
    columns = (user.indices.to_numpy(), item.drop_null().to_numpy(), _seconds(np.asarray(known["timestamp"])))
    _, first = np.unique(np.stack([column.astype(np.int64) for column in columns]), axis=1, return_index=True)
    first = np.sort(first)
    rating = np.asarray(known["rating"], dtype=np.float32)[first] if "rating" in known.column_names else None
    interactions = Interactions(
        user_ids=user.dictionary.to_numpy(zero_copy_only=False).astype(str),
        user=columns[0][first],
        item=columns[1][first].astype(np.int32),
        timestamp=columns[2][first],
        rating=rating,
    )
    counts = {
        "events without a user, an item or a time": len(events) - len(complete),
        "events of other items": len(complete) - len(known),
        "repeated events": len(known) - len(first),
    }
    return interactions, counts


def _seconds(timestamp: np.ndarray) -> np.ndarray:
    return np.where(timestamp >= MILLISECONDS_FROM, timestamp // 1000, timestamp).astype(np.int64)
