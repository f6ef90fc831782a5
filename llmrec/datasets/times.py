"""Reads times as people export them: unix seconds or finer units, ISO dates, timestamps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from llmrec.datasets import columns
from llmrec.datasets.tables import Table

UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds", "dates", "dates without zone")
NUMBERS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))
"""The magnitude below which a number has each of the first units, and the microseconds of one.

Seconds reach 1e11 in the year 5138, milliseconds reached it in 1973. Larger numbers than these are nanoseconds.
"""
_ISO = (
    r"^\s*(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ](?P<clock>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]+))?)?)?\s*(?P<zone>Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?\s*$"
)
EXPECTED = "a time (unix seconds, milliseconds, or a date such as 2023-11-14 or 2023-11-14T22:13:20Z)"


@dataclass(frozen=True)
class Times:
    """The times of a column.

    Attributes:
        microseconds: Since 1970 in UTC, int64 [n].
        units: How many of the values were of each unit: seconds, milliseconds, microseconds, nanoseconds, dates, and
            dates without zone, which are taken as UTC.
    """

    microseconds: np.ndarray
    units: Mapping[str, int]


def time_and_unit(table: Table, name: str) -> tuple[pl.Expr, pl.Expr]:
    """Converts a column of times; the unit of each number is recognized by its magnitude.

    Returns:
        The microseconds since 1970 in UTC, Int64, null where a value is no time; and the index of the unit in UNITS.
    """
    type_ = table.types[name]
    if isinstance(type_, pl.Datetime | pl.Date):
        zoned = "dates without zone" if getattr(type_, "time_zone", None) is None else "dates"
        return pl.col(name).cast(pl.Datetime("us")).to_physical(), pl.lit(UNITS.index(zoned), pl.UInt8)
    microseconds, unit = _by_magnitude(columns.integers(name, type_), columns.floats(name, type_))
    if not columns.is_text(type_):
        return microseconds, unit
    text = pl.col(name).cast(pl.String)
    # An exponent has too few digits for a time.
    number = pl.when(~text.str.contains("[eE]")).then(microseconds)
    date, is_zoned = _iso(text)
    of_date = pl.when(is_zoned).then(UNITS.index("dates")).otherwise(UNITS.index("dates without zone"))
    return pl.coalesce(number, date), pl.when(number.is_not_null()).then(unit).otherwise(of_date).cast(pl.UInt8)


def checked_times(table: Table, name: str, microseconds: pl.Series, unit: pl.Series) -> Times:
    """Checks what `time_and_unit` has converted.

    Raises:
        InputError: For a value that is not a time.
    """
    table.require(microseconds.is_not_null(), name, EXPECTED)
    counts = np.bincount(unit.to_numpy(), minlength=len(UNITS)).tolist()
    return Times(microseconds.to_numpy(), {name: n for name, n in zip(UNITS, counts, strict=True) if n})


def _by_magnitude(whole: pl.Expr, number: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Converts numbers to microseconds and the indices of their units."""
    size = number.abs()
    # Nanoseconds, which are the largest.
    microseconds = pl.coalesce(whole // 1_000, (number.clip(-9e18, 9e18) / 1_000).floor().cast(pl.Int64, strict=False))
    unit = pl.lit(len(NUMBERS), pl.UInt8)
    for index, (limit, factor) in reversed(list(enumerate(NUMBERS))):
        of_unit = pl.coalesce(whole * factor, (number * factor).floor().cast(pl.Int64, strict=False))
        microseconds = pl.when(size < limit).then(of_unit).otherwise(microseconds)
        unit = pl.when(size < limit).then(pl.lit(index, pl.UInt8)).otherwise(unit)
    return pl.when(size < 2.0**63).then(microseconds), unit


def _iso(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Parses ISO dates to microseconds, and tells which of them have a zone."""
    part = text.str.extract_groups(_ISO).struct
    clock = pl.format("{} {}:{}", part["date"], part["clock"].fill_null("00:00"), part["second"].fill_null("00"))
    stamp = clock.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).to_physical()
    micro = part["fraction"].str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False).fill_null(0)
    zone = part["zone"]
    digits = zone.str.replace(":", "").str.pad_end(5, "0")
    minutes = 60 * digits.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes += digits.str.slice(3, 2).cast(pl.Int64, strict=False)
    ahead = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    return stamp + micro - 60_000_000 * ahead.fill_null(0), zone.is_not_null()
