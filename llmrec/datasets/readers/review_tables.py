"""Reads the reviews of Steam and Yelp."""

from pathlib import Path

import polars as pl

from llmrec.datasets.columns import unless_blank
from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import scan_json_lines, scan_literals
from llmrec.datasets.times import unix_seconds

TEXT, TEXTS = pl.String(), pl.List(pl.String)
DAY, SECOND = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"


def dump_steam(reviews: Path, games: Path) -> Dump:
    """Scans both files (a Python literal a line)."""
    events = scan_literals(reviews, {"username": TEXT, "product_id": TEXT, "date": TEXT})
    listed = scan_literals(games, {"id": TEXT, "title": TEXT, "app_name": TEXT, "genres": TEXTS})
    return Dump(
        reviews,
        listed.select(
            pl.col("id").alias("item"),
            pl.coalesce(_stripped("title"), "app_name").alias("title"),
            pl.col("genres").alias("categories"),
        ),
        events.select(
            pl.col("username").alias("user"),
            pl.col("product_id").alias("item"),
            unix_seconds(pl.col("date"), DAY).alias("timestamp"),
        ),
    )


def dump_yelp(reviews: Path, businesses: Path) -> Dump:
    """Scans both files (JSON lines). Early releases have dates without a time."""
    events = scan_json_lines(reviews, {"user_id": TEXT, "business_id": TEXT, "stars": pl.Float64(), "date": TEXT})
    listed = scan_json_lines(businesses, {"business_id": TEXT, "name": TEXT, "city": TEXT, "categories": TEXT})
    name, city = _stripped("name"), _stripped("city")
    return Dump(
        reviews,
        listed.select(
            pl.col("business_id").alias("item"),
            pl.when(city.is_null()).then(name).otherwise(pl.concat_str(name, city, separator=", ")).alias("title"),
            pl.col("categories").str.split(", "),
        ),
        events.select(
            pl.col("user_id").alias("user"),
            pl.col("business_id").alias("item"),
            pl.coalesce(unix_seconds(pl.col("date"), SECOND), unix_seconds(pl.col("date"), DAY)).alias("timestamp"),
            pl.col("stars").alias("rating"),
        ),
    )


def _stripped(name: str) -> pl.Expr:
    return unless_blank(pl.col(name).str.strip_chars())
