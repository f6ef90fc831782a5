"""Turns a table of interactions and a table of items into what datasets are made of."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.tables import Table


def from_tables(interactions: Table, items: Table) -> tuple[Items, Interactions]:
    """Makes items and interactions, both in the order of their tables.

    Args:
        interactions: Table with the columns user, item, timestamp (unix seconds) and, optionally, rating (above 0, at
            most 10).
        items: Table with the columns item, title and, optionally, categories (a list, or text separated by |).

    Raises:
        InputError: For a missing column, a blank or malformed value, an item that is listed twice, or an interaction
            whose item is not listed. The message names the file and the row.
    """
    catalogue = _items(items)
    return catalogue, _interactions(interactions, items, catalogue)


def _items(table: Table) -> Items:
    table.require_columns(("item", "title"))
    ids = table.strings("item")
    titles = table.strings("title")
    table.require(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(titles)), 0), "title", "a title (it is blank)")
    _, first = np.unique(ids.to_numpy(zero_copy_only=False).astype(str), return_index=True)
    for index in np.setdiff1d(np.arange(len(ids)), first)[:1]:
        raise table.fail(int(index), f"item {ids[int(index)]} is listed twice", "Keep one of its rows")
    return Items(ids.to_pylist(), titles.to_pylist(), _categories(table))


def _interactions(table: Table, item_table: Table, items: Items) -> Interactions:
    table.require_columns(("user", "item", "timestamp"))
    user = table.strings("user").dictionary_encode()
    item_ids = table.strings("item")
    item = pc.index_in(item_ids, value_set=pa.array(items.ids))
    for index in np.flatnonzero(np.asarray(pc.is_null(item)))[:1]:
        problem = f"item {item_ids[int(index)]} is not in {item_table.path}"
        raise table.fail(int(index), problem, "Add it there with its title, or remove the row")
    return Interactions(
        user_ids=user.dictionary.to_numpy(zero_copy_only=False).astype(str),
        user=user.indices.to_numpy(),
        item=item.to_numpy(),
        timestamp=table.integers("timestamp"),
        rating=_ratings(table) if "rating" in table.columns else None,
    )


def _ratings(table: Table) -> np.ndarray:
    rating = table.numbers("rating")
    # The gain is 2^rating - 1, and 0 for an unrated item. A rating of 0 would equal "unrated"; one above 10 would
    # dominate every sum of gains.
    table.require((rating > 0) & (rating <= 10), "rating", "above 0 and at most 10")
    return rating


def _categories(table: Table) -> list[list[str]] | None:
    if "categories" not in table.columns:
        return None
    cells = table.columns["categories"].to_pylist()
    return [_split(cell) if isinstance(cell, str) else list(cell or []) for cell in cells]


def _split(cell: str) -> list[str]:
    return [category.strip() for category in cell.split("|") if category.strip()]
