"""Reads the reviews of Steam and Yelp."""

from pathlib import Path

import polars as pl

from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import scan_json_lines, scan_literals

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
            pl.coalesce(_unless_blank("title"), "app_name").alias("title"),
            pl.col("genres").alias("categories"),
        ),
        events.select(
            pl.col("username").alias("user"),
            pl.col("product_id").alias("item"),
            seconds(pl.col("date"), DAY).alias("timestamp"),
        ),
    )


def dump_yelp(reviews: Path, businesses: Path) -> Dump:
    """Scans both files (JSON lines). Early releases have dates without a time."""
    events = scan_json_lines(reviews, {"user_id": TEXT, "business_id": TEXT, "stars": pl.Float64(), "date": TEXT})
    listed = scan_json_lines(businesses, {"business_id": TEXT, "name": TEXT, "city": TEXT, "categories": TEXT})
    name, city = _unless_blank("name"), _unless_blank("city")
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
            pl.coalesce(seconds(pl.col("date"), SECOND), seconds(pl.col("date"), DAY)).alias("timestamp"),
            pl.col("stars").alias("rating"),
        ),
    )


def seconds(text: pl.Expr, form: str) -> pl.Expr:
    """Converts dates to unix seconds, those without a zone as UTC; null where a text is not of this form."""
    return text.str.strip_chars().str.to_datetime(form, strict=False).dt.epoch("s")


def _unless_blank(name: str) -> pl.Expr:
    stripped = pl.col(name).str.strip_chars()
    return pl.when(stripped != "").then(stripped)
