"""Reads the files of the Amazon review data of 2014, 2018 and 2023."""

from pathlib import Path

import polars as pl

from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import scan_json_lines, scan_literals
from llmrec.datasets.table_files import scan_text

TEXT, TEXTS = pl.String(), pl.List(pl.String)
REVIEW = {"reviewerID": TEXT, "asin": TEXT, "overall": pl.Float64(), "unixReviewTime": pl.Int64()}
RATING_2023 = {"user_id": TEXT, "parent_asin": TEXT, "rating": pl.Float64(), "timestamp": pl.Int64()}
EVENT = ("user", "item", "rating", "timestamp")
ITEM = ("item", "title", "categories")


def dump_2014(reviews: Path, metadata: Path) -> Dump:
    """Scans reviews (JSON lines) and metadata (a Python literal a line).

    The lists of categories of an item are joined, in order and without repetition.
    """
    listed = scan_literals(metadata, {"asin": TEXT, "title": TEXT, "categories": pl.List(TEXTS)})
    joined = pl.col("categories").list.eval(pl.element().explode()).list.unique(maintain_order=True)
    items = _renamed(listed.with_columns(joined), ITEM)
    return Dump(reviews, items, _renamed(scan_json_lines(reviews, REVIEW), EVENT))


def dump_2018(reviews: Path, metadata: Path) -> Dump:
    """Scans reviews and metadata (JSON lines)."""
    items = scan_json_lines(metadata, {"asin": TEXT, "title": TEXT, "category": TEXTS})
    return Dump(reviews, _renamed(items, ITEM), _renamed(scan_json_lines(reviews, REVIEW), EVENT))


def dump_2023(reviews: Path, metadata: Path) -> Dump:
    """Scans reviews (JSON lines or CSV) and metadata (JSON lines). Variants of a product count as one item."""
    items = scan_json_lines(metadata, {"parent_asin": TEXT, "title": TEXT, "categories": TEXTS})
    events = (scan_text if ".csv" in reviews.suffixes else scan_json_lines)(reviews, RATING_2023)
    return Dump(reviews, _renamed(items, ITEM), _renamed(events, EVENT))


def _renamed(frame: pl.LazyFrame, names: tuple[str, ...]) -> pl.LazyFrame:
    return frame.rename(dict(zip(frame.collect_schema().names(), names, strict=True)))
