"""Turns a table of interactions and a table of items into what datasets are made of."""

import numpy as np
import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets import columns
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.readers.codes import codes, decoded
from llmrec.datasets.tables import Table
from llmrec.datasets.times import checked_times, parsed_times
from llmrec.errors import InputError, shortened

ZERO_FRACTION = r"^[+-]?[0-9]{1,15}\.0+$"


def from_tables(interactions: Table, items: Table) -> tuple[Items, Interactions]:
    """Makes items, in the order of their table, and interactions, in order of time within a second.

    Args:
        interactions: Table with the columns user, item, timestamp (see `times`) and, optionally, rating (above 0, at
            most 10; where one is missing or outside of this, no rating is used, and `rating_problem` tells why).
        items: Table with the columns item, title and, optionally, categories (a list, or text separated by |).

    Raises:
        InputError: For a missing column, a blank or malformed value, an item that is listed twice, or an interaction
            whose item is not listed. The message names the file and the row.
    """
    catalogue = _items(items)
    return catalogue, _interactions(interactions, items, catalogue)


def _items(table: Table) -> Items:
    table.require_columns(("item", "title"))
    expressions = {"item": table.text("item"), "title": table.text("title")}
    has_categories = "categories" in table.types
    if has_categories:
        table.require_columns(("categories",))
        type_ = table.types["categories"]
        missing = columns.is_missing("categories", type_)
        expressions |= {"categories": columns.lists("categories", type_), "missing": missing}
    read = table.read(**expressions)
    table.require_text(read["item"], "item")
    table.require_text(read["title"], "title")
    table.require(read["title"].str.strip_chars() != "", "title", "a title (it is blank)")
    ids = without_zero_fraction(read["item"])
    table.refuse(
        ids.is_first_distinct(),
        lambda index: f"item {shortened(ids[index])} is listed twice",
        "Keep one of its rows",
        "Keep one row of each item",
    )
    categories = None
    if has_categories and not read["missing"].all():
        is_list = read["categories"].is_not_null() | read["missing"]
        table.require(is_list, "categories", "a list of text, or text separated by |")
        categories = read["categories"].fill_null([]).to_list()
    return Items(ids.to_list(), read["title"].to_list(), categories)


def _interactions(table: Table, item_table: Table, items: Items) -> Interactions:
    table.require_columns(("user", "item", "timestamp"))
    expressions = {name: codes(table.text(name)) for name in ("user", "item")}
    expressions["time"] = parsed_times(table, "timestamp")
    has_ratings = "rating" in table.types
    if has_ratings:
        table.require_columns(("rating",))
        expressions |= {"rating": table.numbers("rating"), "unrated": _is_blank("rating", table.types["rating"])}
    read = table.read(**expressions)
    table.require_text(read["user"], "user")
    times = checked_times(table, "timestamp", read["time"])
    rating, problem = _ratings(table, read["rating"], read["unrated"]) if has_ratings else (None, None)
    users, user = decoded(read["user"])
    written = without_zero_fraction(users)
    user_ids = written.unique(maintain_order=True)
    events = Interactions(
        user_ids=user_ids.to_numpy().astype(str),
        user=_index(written, user_ids).to_numpy()[user],
        item=_item_indices(table, read["item"], item_table, items),
        timestamp=times.microseconds // 1_000_000,
        rating=rating,
        rating_problem=problem,
        time_units=times.units,
    )
    # Events of the same second keep their order, so they are sorted first where the file has finer times.
    is_finer = bool((times.microseconds % 1_000_000).any())
    return events.take(np.argsort(times.microseconds, kind="stable")) if is_finer else events


def _item_indices(table: Table, item: pl.Series, item_table: Table, items: Items) -> np.ndarray:
    table.require_text(item, "item")
    ids, of_event = decoded(item)
    number = pl.Series(items.ids)
    index = _index(ids, number)
    if index.null_count():
        index = _index(without_zero_fraction(ids), number)
    found = index.fill_null(-1).to_numpy()[of_event]
    table.refuse(
        found >= 0,
        lambda event: f"item {shortened(ids[int(of_event[event])])} is not in {item_table.path}",
        "Add it there with its title, or remove the row",
        "Add the items there with their titles, or remove the rows",
        f"Both files must use the same ids, as {shortened(items.ids[0])!r} in {item_table.path.name}",
    )
    return found


def _index(ids: pl.Series, known: pl.Series) -> pl.Series:
    """Returns the position of each id among the known ones, Int32; null for others."""
    listed = pl.DataFrame({"id": known}).with_row_index("index")
    return pl.DataFrame({"id": ids}).join(listed, "id", how="left", maintain_order="left")["index"].cast(pl.Int32)


def without_zero_fraction(ids: pl.Series) -> pl.Series:
    """Returns ids as whole numbers ("7.0" as "7") if all of them are written with a fraction of zero.

    This is how pandas writes a column of whole numbers to CSV after a merge that made them floats.
    """
    is_whole = ids.str.contains(ZERO_FRACTION).all()
    return ids.str.replace(r"\.0+$", "") if is_whole and len(ids) else ids


def _is_blank(name: str, type_: pl.DataType) -> pl.Expr:
    """Returns whether a value is missing: null, NaN, or blank text."""
    if columns.is_text(type_):
        return pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase().is_in(["", "nan"]).fill_null(True)
    return columns.is_missing(name, type_)


def _ratings(table: Table, rating: pl.Series, is_unrated: pl.Series) -> tuple[np.ndarray | None, str | None]:
    """Returns the ratings, or why they cannot be used; that is an error for the tasks that need them only."""
    table.require_numbers(pl.select(pl.when(is_unrated).then(0).otherwise(rating)).to_series(), "rating")
    try:
        # The gain is 2^rating - 1, and 0 for an unrated item. A rating of 0 would equal "unrated"; one above 10 would
        # dominate every sum of gains.
        table.require((rating > 0) & (rating <= 10), "rating", "above 0 and at most 10")
    except InputError as error:
        return None, str(error).removeprefix(f"{table.path.parent}/")
    return rating.to_numpy(), None
