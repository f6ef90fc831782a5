"""Reads the files of the Amazon review data of 2014, 2018 and 2023."""

import ast
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from llmrec.datasets.readers.cleaning import Dump
from llmrec.errors import InputError

BLOCK_BYTES = 1 << 26
"""Read at a time. A line must fit into it, and lines of metadata hold whole descriptions."""
TEXT, TEXTS = pa.string(), pa.list_(pa.string())
REVIEW = {"reviewerID": TEXT, "asin": TEXT, "overall": pa.float64(), "unixReviewTime": pa.int64()}
RATING_2023 = {"user_id": TEXT, "parent_asin": TEXT, "rating": pa.float64(), "timestamp": pa.int64()}
EVENT = ["user", "item", "rating", "timestamp"]


def dump_2014(reviews: Path, metadata: Path) -> Dump:
    """Reads reviews (JSON lines) and metadata (a Python literal a line).

    Raises:
        InputError: A file cannot be read. The message names the file and, of metadata, the row.
    """
    rows = _literals(metadata)
    items = pa.table(
        {
            "item": pa.array([row.get("asin") for row in rows], TEXT),
            "title": pa.array([row.get("title") for row in rows], TEXT),
            "categories": pa.array([_flat(row.get("categories")) for row in rows], TEXTS),
        }
    )
    return Dump(reviews, items, _json_lines(reviews, REVIEW).rename_columns(EVENT))


def dump_2018(reviews: Path, metadata: Path) -> Dump:
    """Reads reviews and metadata (JSON lines).

    Raises:
        InputError: A file cannot be read. The message names the file.
    """
    items = _json_lines(metadata, {"asin": TEXT, "title": TEXT, "category": TEXTS})
    events = _json_lines(reviews, REVIEW)
    return Dump(reviews, items.rename_columns(["item", "title", "categories"]), events.rename_columns(EVENT))


def dump_2023(reviews: Path, metadata: Path) -> Dump:
    """Reads reviews (JSON lines or CSV) and metadata (JSON lines). Variants of a product count as one item.

    Raises:
        InputError: A file cannot be read. The message names the file.
    """
    items = _json_lines(metadata, {"parent_asin": TEXT, "title": TEXT, "categories": TEXTS})
    events = (_csv if ".csv" in reviews.suffixes else _json_lines)(reviews, RATING_2023)
    return Dump(reviews, items.rename_columns(["item", "title", "categories"]), events.rename_columns(EVENT))


def _json_lines(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Reads some keys of JSON lines; a key that a line does not have is null."""
    options = pa.json.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="ignore")
    with _named(path), pa.input_stream(path) as stream:
        table = pa.json.read_json(stream, pa.json.ReadOptions(block_size=BLOCK_BYTES), options)
    return table.select(list(types))


def _csv(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    options = pa.csv.ConvertOptions(column_types=dict(types), include_columns=list(types))
    with _named(path), pa.input_stream(path) as stream:
        return pa.csv.read_csv(stream, convert_options=options)


def _literals(path: Path) -> list[dict[str, Any]]:
    """Reads a file with a Python dict a line. The lines are parsed as literals and never evaluated."""
    rows, opener = [], gzip.open if path.suffix == ".gz" else open
    with _named(path), opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = ast.literal_eval(line)
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
                raise InputError(f"{path}, row {number}: not a Python literal ({error}). Download it again") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, row {number}: not a dict but {type(row).__name__}. Download the file again")
            rows.append(row)
    return rows


def _flat(categories: Any) -> list[str]:
    """Joins the lists of categories of an item, in order and without repetition."""
    return list(dict.fromkeys(name for names in categories or () for name in names))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names the file in errors about its content."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({first_line}). Download the file again") from error
