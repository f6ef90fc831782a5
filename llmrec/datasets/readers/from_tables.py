"""Turns a table of interactions and a table of items into what datasets are made of."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.catalogue.items import Items
from llmrec.datasets.columns import without_zero_fraction
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.tables import Table
from llmrec.datasets.times import times
from llmrec.errors import shortened


def from_tables(interactions: Table, items: Table) -> tuple[Items, Interactions]:
    """Makes items, in the order of their table, and interactions, in order of time within a second.

    Args:
        interactions: Table with the columns user, item, timestamp (see `times`) and, optionally, rating (above 0, at
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
    ids = without_zero_fraction(table.strings("item"))
    titles = table.strings("title")
    table.require(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(titles)), 0), "title", "a title (it is blank)")
    _, first = np.unique(ids.to_numpy(zero_copy_only=False).astype(str), return_index=True)
    table.refuse(
        np.setdiff1d(np.arange(len(ids)), first),
        lambda index: f"item {shortened(str(ids[index]))} is listed twice",
        "Keep one of its rows",
        "Keep one row of each item",
    )
    categories = table.lists("categories") if "categories" in table.columns else None
    return Items(ids.to_pylist(), titles.to_pylist(), categories)


def _interactions(table: Table, item_table: Table, items: Items) -> Interactions:
    table.require_columns(("user", "item", "timestamp"))
    user = without_zero_fraction(table.strings("user")).dictionary_encode()
    time = times(table, "timestamp")
    events = Interactions(
        user_ids=user.dictionary.to_numpy(zero_copy_only=False).astype(str),
        user=user.indices.to_numpy(),
        item=_item_indices(table, item_table, items),
        timestamp=time.microseconds // 1_000_000,
        rating=_ratings(table) if "rating" in table.columns else None,
        time_units=time.units,
    )
    # Events of the same second keep their order, so they are sorted first where the file has finer times.
    is_finer = bool((time.microseconds % 1_000_000).any())
    return events.take(np.argsort(time.microseconds, kind="stable")) if is_finer else events


def _item_indices(table: Table, item_table: Table, items: Items) -> np.ndarray:
    ids, known = table.strings("item"), pa.array(items.ids)
    found = pc.index_in(ids, value_set=known)
    if found.null_count:
        found = pc.index_in(without_zero_fraction(ids), value_set=known)
    unknown = np.flatnonzero(np.asarray(pc.is_null(found)))
    table.refuse(
        unknown,
        lambda index: f"item {shortened(str(ids[index]))} is not in {item_table.path}",
        "Add it there with its title, or remove the row",
        "Add the items there with their titles, or remove the rows",
        f"Both files must use the same ids, as {shortened(items.ids[0])!r} in {item_table.path.name}",
    )
    return np.asarray(found)


def _ratings(table: Table) -> np.ndarray:
    rating = table.numbers("rating")
    # The gain is 2^rating - 1, and 0 for an unrated item. A rating of 0 would equal "unrated"; one above 10 would
    # dominate every sum of gains.
    table.require((rating > 0) & (rating <= 10), "rating", "above 0 and at most 10")
    return rating
