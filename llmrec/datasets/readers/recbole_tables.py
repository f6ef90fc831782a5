"""Reads the atomic files of RecBole, whose headers are like `item_id:token<tab>title:token_seq`."""

from pathlib import Path

import polars as pl

from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import header, scan_text
from llmrec.errors import InputError

SEPARATOR = "\t"
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
    listed, given = _header(items), _header(interactions)
    item_columns = {"item": _column(items, listed, "item_id"), "title": _column(items, listed, title, TITLES)}
    named = categories or next((name for name in CATEGORIES if name in listed), None)
    if named is not None:
        item_columns["categories"] = _column(items, listed, named)
    columns = {
        "user": _column(interactions, given, "user_id"),
        "item": _column(interactions, given, "item_id"),
        "timestamp": _column(interactions, given, "timestamp"),
    }
    if "rating" in given:
        columns["rating"] = given["rating"]
    item_frame = _scan(items, item_columns)
    if named is not None:
        item_frame = item_frame.with_columns(pl.col("categories").str.split(" "))
    return Dump(interactions, item_frame, _scan(interactions, columns))


def _header(path: Path) -> dict[str, str]:
    """Returns the columns of a file, each as in its header, by their names without types."""
    return {field.partition(":")[0].strip(): field for field in header(path, SEPARATOR, quote=None)}


def _column(path: Path, fields: dict[str, str], name: str | None, names: tuple[str, ...] = ()) -> str:
    found = name if name in fields else next((other for other in names if name is None and other in fields), None)
    if found is None:
        wanted = name or " or ".join(names)
        raise InputError(
            f"{path}: no column {wanted} among {', '.join(fields)}. Name it, for example dataset.reader.title=NAME"
        )
    return fields[found]


def _scan(path: Path, columns: dict[str, str]) -> pl.LazyFrame:
    """Scans columns, given as in the header, under our names."""
    types = {"timestamp": pl.Float64(), "rating": pl.Float64()}
    text = scan_text(
        path, {field: types.get(name, pl.String()) for name, field in columns.items()}, SEPARATOR, quote=None
    )
    return text.select(pl.col(field).alias(name) for name, field in columns.items())
