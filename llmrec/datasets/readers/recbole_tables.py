"""Reads the atomic files of RecBole, whose headers are like `item_id:token<tab>title:token_seq`."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from llmrec.datasets.columns import unless_blank
from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.table_files import scan_separated
from llmrec.datasets.tables import Table
from llmrec.errors import InputError

TITLES = ("title", "movie_title", "item_name", "name")
CATEGORIES = ("categories", "class", "genre")


def read_recbole(interactions: Path, items: Path, title: str | None, categories: str | None) -> Dump:
    """Scans both files.

    Args:
        interactions: The .inter file.
        items: The .item file.
        title: The column of titles; None to find it.
        categories: The column of categories; None to find it, if there is one.

    Raises:
        InputError: A column is missing. The message names the file.
    """
    catalogue, events = _table(items), _table(interactions)
    item_columns = {"item": _column(catalogue, "item_id"), "title": _column(catalogue, title, TITLES)}
    named = categories or next((name for name in CATEGORIES if name in catalogue.types), None)
    if named is not None:
        item_columns["categories"] = _column(catalogue, named).str.split(" ")
    event_columns = {
        "user": _column(events, "user_id"),
        "item": _column(events, "item_id"),
        "timestamp": _column(events, "timestamp").cast(pl.Float64, strict=False),
    }
    if "rating" in events.types:
        event_columns["rating"] = _column(events, "rating").cast(pl.Float64, strict=False)
    return Dump(interactions, catalogue.frame.select(**item_columns), events.frame.select(**event_columns))


def _table(path: Path) -> Table:
    """Scans a file under the names of its columns without types."""
    table = scan_separated(path, ("\t",), quoted=False)
    return replace(table, frame=table.frame.rename(lambda field: field.partition(":")[0].strip()))


def _column(table: Table, name: str | None, names: tuple[str, ...] = ()) -> pl.Expr:
    found = name if name in table.types else next((each for each in names if not name and each in table.types), None)
    if found is None:
        wanted = name or " or ".join(names)
        raise InputError(
            f"{table.path}: no column {wanted} among {', '.join(table.types)}. "
            "Name it, for example dataset.reader.title=NAME"
        )
    return unless_blank(pl.col(found))
