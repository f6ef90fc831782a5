"""Reads the plays of Last.fm 1K: user, time, artist's id and name, track's id and name, separated by tabs."""

from pathlib import Path

import polars as pl

from llmrec.datasets.columns import unless_blank
from llmrec.datasets.readers.cleaning import Dump
from llmrec.datasets.readers.scans import scan_lines
from llmrec.datasets.times import unix_seconds

FIELDS = 6
TIME = "%Y-%m-%dT%H:%M:%SZ"


def dump_lastfm(path: Path, item: str) -> Dump:
    """Scans the plays; the items are those that were played, in order of appearance.

    Args:
        path: The file, without header and without quoting.
        item: "track" or "artist".
    """
    fields = pl.col("line").str.split("\t")
    # A line break inside a name makes two lines of a play.
    whole = scan_lines(path).select(pl.when(fields.list.len() == FIELDS).then(fields).alias("fields"))
    user, time, artist, track = (_field(index) for index in (0, 1, 3, 5))
    name = artist if item == "artist" else pl.concat_str(artist, track, separator=" - ")
    events = whole.select(user.alias("user"), name.alias("item"), unix_seconds(time, TIME).alias("timestamp"))
    played = events.select("item").drop_nulls().unique(maintain_order=True)
    return Dump(path, played.with_columns(title=pl.col("item")), events)


def _field(index: int) -> pl.Expr:
    return unless_blank(pl.col("fields").list.get(index, null_on_oob=True).str.strip_chars())
