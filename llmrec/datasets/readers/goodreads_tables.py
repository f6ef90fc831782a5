"""Reads the interactions and books of Goodreads."""

from pathlib import Path

import polars as pl

from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import scan_json_lines
from llmrec.datasets.table_files import scan_text
from llmrec.datasets.times import unix_seconds

TEXT = pl.String()
DATE = "%a %b %d %H:%M:%S %z %Y"
"""As in Wed Mar 22 11:37:04 -0700 2017."""
RATED = pl.col("rating") > 0
"""A rating of 0 stands for none."""


def dump_json(interactions: Path, books: Path, time: str, events: str) -> Dump:
    """Scans both files (JSON lines).

    Args:
        interactions: The file of interactions.
        books: The file of books.
        time: The key of the date.
        events: "read", "rated" or "all".
    """
    given = {"user_id": TEXT, "book_id": TEXT, "is_read": pl.Boolean(), "rating": pl.Float64(), time: TEXT}
    shelved = scan_json_lines(interactions, given).select(
        "is_read",
        "rating",
        pl.col("user_id").alias("user"),
        pl.col("book_id").alias("item"),
        unix_seconds(pl.col(time), DATE).alias("timestamp"),
    )
    return Dump(interactions, _books(books), _wanted(shelved, events))


def dump_csv(interactions: Path, book_ids: Path, books: Path, events: str) -> Dump:
    """Scans goodreads_interactions.csv, whose book ids are numbers of its own.

    Args:
        interactions: The file of interactions. The number of an event's row stands in for its time.
        book_ids: The file book_id_map.csv.
        books: The file of books (JSON lines).
        events: As in `dump_json`.
    """
    given = {"user_id": TEXT, "book_id": TEXT, "is_read": pl.Int8(), "rating": pl.Float64()}
    ids = scan_text(book_ids, {"book_id_csv": TEXT, "book_id": TEXT}).rename({"book_id": "item"})
    shelved = (
        scan_text(interactions, given)
        .with_row_index("timestamp")
        .join(ids, left_on="book_id", right_on="book_id_csv", how="left", maintain_order="left")
    )
    columns = shelved.select("rating", "timestamp", "item", user="user_id", is_read=pl.col("is_read") > 0)
    return Dump(interactions, _books(books), _wanted(columns, events))


def _books(path: Path) -> pl.LazyFrame:
    return scan_json_lines(path, {"book_id": TEXT, "title": TEXT}).rename({"book_id": "item"})


def _wanted(shelved: pl.LazyFrame, events: str) -> pl.LazyFrame:
    """Marks the events that do not count, and keeps ratings if every event that counts has one."""
    columns = ["user", "item", "timestamp", *(["rating"] if events == "rated" else [])]
    excluded = {"rated": (RATED, "events without a rating"), "read": (pl.col("is_read"), "events of books not read")}
    if events == "all":
        return shelved.select(columns)
    counts, reason = excluded[events]
    why = pl.when(counts.fill_null(False)).then(None).otherwise(pl.lit(reason))
    return shelved.select(*columns, why.alias("excluded"))
