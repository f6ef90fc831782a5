"""Reads the atomic files of RecBole, whose headers are like `item_id:token<tab>title:token_seq`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from llmrec.datasets.plain_files import read_plain
from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.text_files import read_text
from llmrec.errors import InputError

TITLES = ("title", "movie_title", "item_name", "name")
CATEGORIES = ("categories", "class", "genre")


def read_recbole(interactions: Path, items: Path, title: str | None, categories: str | None) -> Dump:
    """Reads both files.

    Args:
        interactions: The .inter file.
        items: The .item file.
        title: The column of titles; None to find it.
        categories: The column of categories; None to find it, if there is one.

    Raises:
        InputError: A file cannot be read, or a column is missing. The message names the file.
    """
    listed, events = _columns(items), _columns(interactions)
    table = {"item": _column(items, listed, "item_id"), "title": _column(items, listed, title, TITLES)}
    named = categories or next((name for name in CATEGORIES if name in listed), None)
    if named is not None:
        table["categories"] = pc.split_pattern(_column(items, listed, named), " ")
    found = {
        "user": _column(interactions, events, "user_id"),
        "item": _column(interactions, events, "item_id"),
        "timestamp": _numbers(interactions, events, "timestamp").cast(pa.int64(), safe=False),
    }
    if "rating" in events:
        found["rating"] = _numbers(interactions, events, "rating")
    return Dump(interactions, pa.table(table), pa.table(found))


def _columns(path: Path) -> dict[str, pa.Array]:
    """Returns the columns of a file by their names without types; blank values are null."""
    header, _, rows = read_text(path).partition("\n")
    names = [field.partition(":")[0].strip() for field in header.split("\t")]
    columns = read_plain(path, rows, "\t", names).columns
    return {name: pc.if_else(pc.equal(column, ""), None, column) for name, column in columns.items()}


def _column(path: Path, columns: dict[str, pa.Array], name: str | None, names: tuple[str, ...] = ()) -> pa.Array:
    found = name if name in columns else next((other for other in names if name is None and other in columns), None)
    if found is None:
        wanted = name or " or ".join(names)
        raise InputError(
            f"{path}: no column {wanted} among {', '.join(columns)}. Name it, for example dataset.reader.title=NAME"
        )
    return columns[found]


def _numbers(path: Path, columns: dict[str, pa.Array], name: str) -> pa.Array:
    try:
        return _column(path, columns, name).cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}, column {name}: {error}. Correct or remove that row") from error
