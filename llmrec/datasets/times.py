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
PARSED = pl.Struct({"microseconds": pl.Int64, "unit": pl.UInt8})
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


def parsed_times(table: Table, name: str) -> pl.Expr:
    """Parses a column of times; the unit of each number is recognized by its magnitude.

    Returns:
        Structs of microseconds (Int64, since 1970 in UTC, null where a value is no time) and unit (UInt8, an index of
        UNITS).
    """
    type_ = table.types[name]
    if isinstance(type_, pl.Datetime | pl.Date):
        zoned = "dates without zone" if getattr(type_, "time_zone", None) is None else "dates"
        microseconds, unit = pl.col(name).cast(pl.Datetime("us")).to_physical(), pl.lit(UNITS.index(zoned), pl.UInt8)
    elif columns.is_text(type_):
        return pl.col(name).cast(pl.String).map_batches(_of_text, return_dtype=PARSED, is_elementwise=True)
    else:
        microseconds, unit = _by_magnitude(columns.integers(name, type_), columns.floats(name, type_))
    return pl.struct(microseconds=microseconds, unit=unit)


def checked_times(table: Table, name: str, parsed: pl.Series) -> Times:
    """Checks what `parsed_times` has read.

    Raises:
        InputError: For a value that is not a time.
    """
    microseconds = parsed.struct.field("microseconds")
    table.require(microseconds.is_not_null(), name, EXPECTED)
    counts = np.bincount(parsed.struct.field("unit").to_numpy(), minlength=len(UNITS)).tolist()
    return Times(microseconds.to_numpy(), {unit: count for unit, count in zip(UNITS, counts, strict=True) if count})


def unix_seconds(text: pl.Expr, form: str) -> pl.Expr:
    """Converts dates of one form to unix seconds, those without a zone as UTC; null for texts of another form.

    Args:
        text: The dates.
        form: The form, as for `strptime`.
    """
    return text.str.strip_chars().str.to_datetime(form, strict=False).dt.epoch("s")


def _of_text(text: pl.Series) -> pl.Series:
    """Parses texts: numbers first, and what is no number as a date."""
    frame, type_ = pl.DataFrame({"text": text}), pl.String()
    microseconds, unit = _by_magnitude(columns.integers("text", type_), columns.floats("text", type_))
    numbers = frame.select(microseconds=microseconds, unit=unit)
    # An exponent has too few digits for a time.
    is_other = numbers["microseconds"].is_null() | text.str.contains_any(["e", "E"])
    if not is_other.any():
        return numbers.to_struct()
    dates, rows = frame.filter(is_other).select(**_iso(pl.col("text"))), is_other.arg_true()
    return pl.select(
        microseconds=numbers["microseconds"].scatter(rows, dates["microseconds"]),
        unit=numbers["unit"].scatter(rows, dates["unit"]),
    ).to_struct()


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


def _iso(text: pl.Expr) -> dict[str, pl.Expr]:
    """Parses ISO dates to microseconds and units."""
    part = text.str.extract_groups(_ISO).struct
    clock = pl.format("{} {}:{}", part["date"], part["clock"].fill_null("00:00"), part["second"].fill_null("00"))
    stamp = clock.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).to_physical()
    micro = part["fraction"].str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False).fill_null(0)
    zone = part["zone"]
    digits = zone.str.replace(":", "").str.pad_end(5, "0")
    minutes = 60 * digits.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes += digits.str.slice(3, 2).cast(pl.Int64, strict=False)
    ahead = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    zoned, unzoned = (pl.lit(UNITS.index(unit), pl.UInt8) for unit in ("dates", "dates without zone"))
    return {
        "microseconds": stamp + micro - 60_000_000 * ahead.fill_null(0),
        "unit": pl.when(zone.is_not_null()).then(zoned).otherwise(unzoned),
    }
