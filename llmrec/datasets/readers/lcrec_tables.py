"""Reads the JSON files of LC-Rec."""

from pathlib import Path
from typing import Any

import polars as pl

from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.minionerec_tables import read_item_json, read_object
from llmrec.datasets.text_files import without_lone_surrogates
from llmrec.errors import InputError, shortened


def dump_lcrec(interactions: Path, items: Path) -> Dump:
    """Reads both files.

    Args:
        interactions: <name>.inter.json, an object of user -> list of item ids, oldest first.
        items: <name>.item.json, an object of item id -> object with title and, optionally, categories (a text).

    Raises:
        InputError: A file is not such an object. The message names the key.
    """
    entries, sequences = read_item_json(items), read_object(interactions)
    for user, sequence in sequences.items():
        if not isinstance(sequence, list) or not all(isinstance(item, str | int) for item in sequence):
            shown = shortened(repr(sequence))
            raise InputError(
                f"{interactions}, key {user!r}: expected a list of item ids, got {shown}. Correct the entry"
            )
    listed = {"item": list(entries), "title": [_text(entry.get("title")) for entry in entries.values()]}
    item_frame = pl.LazyFrame(listed, {"item": pl.String(), "title": pl.String()})
    if any("categories" in entry for entry in entries.values()):
        texts = pl.Series([_text(entry.get("categories")) for entry in entries.values()], dtype=pl.String)
        item_frame = item_frame.with_columns(
            texts.str.split(",").list.eval(pl.element().str.strip_chars()).alias("categories")
        )
    given = {"user": list(sequences), "item": [list(map(str, sequence)) for sequence in sequences.values()]}
    users = pl.LazyFrame(given, {"user": pl.String(), "item": pl.List(pl.String)})
    positions = users.with_columns(timestamp=pl.int_ranges(pl.col("item").list.len()))
    return Dump(interactions, item_frame, positions.explode("item", "timestamp"))


def _text(value: Any) -> str | None:
    return without_lone_surrogates(value) if isinstance(value, str) else None
