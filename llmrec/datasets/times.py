"""Reads times as people export them: unix seconds or finer units, ISO dates, Arrow timestamps."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.datasets import columns
from llmrec.datasets.tables import Table

UNITS = (("seconds", 1e11, 1_000_000), ("milliseconds", 1e14, 1_000), ("microseconds", 1e17, 1))
"""Units of numbers: the magnitude below which a number has this unit, and the microseconds of one.

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
    units: dict[str, int]


def times(table: Table, name: str) -> Times:
    """Reads a column of times; the unit of each number is recognized by its magnitude.

    Raises:
        InputError: For a value that is not a time.
    """
    column = columns.plain(table.column(name))
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        zone = "dates" if getattr(column.type, "tz", None) else "dates without zone"
        stamps = pc.cast(column, pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        table.require(pc.is_valid(stamps), name, EXPECTED)
        return Times(np.asarray(stamps), {zone: len(stamps)})
    whole, numbers = columns.integers(column), columns.floats(column)
    if pa.types.is_string(column.type):
        # An exponent has too few digits for a time.
        numbers = pc.if_else(pc.match_substring_regex(column, "[eE]"), None, numbers)
        parsed, is_zoned = _iso(column)
    else:
        parsed, is_zoned = pa.nulls(len(column), pa.int64()), np.zeros(len(column), dtype=bool)
    is_date = np.asarray(pc.is_valid(parsed))
    is_number = pc.fill_null(pc.less(pc.abs(numbers), 2.0**63), False)
    table.require(pc.or_(is_number, pa.array(is_date)), name, EXPECTED)
    microseconds, units = _by_magnitude(whole, numbers, is_date)
    microseconds[is_date] = np.asarray(parsed.drop_null())
    units |= {"dates": int((is_date & is_zoned).sum()), "dates without zone": int((is_date & ~is_zoned).sum())}
    return Times(microseconds, {unit: count for unit, count in units.items() if count})


def _by_magnitude(whole: pa.Array, numbers: pa.Array, is_date: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Converts numbers to microseconds, int64 [n], and counts their units; positions of dates are meaningless."""
    exact = np.asarray(pc.fill_null(whole, 0))
    is_exact = np.asarray(pc.is_valid(whole))
    value = np.asarray(pc.fill_null(numbers, 0.0))
    size = np.abs(value)
    # Nanoseconds first, which are the largest.
    microseconds = np.where(is_exact, exact // 1_000, np.floor(np.clip(value, -9e18, 9e18) / 1_000).astype(np.int64))
    left, units = ~is_date, {}
    for unit, limit, factor in UNITS:
        of_unit = left & (size < limit)
        fraction = np.floor(value[of_unit] * factor).astype(np.int64)
        microseconds[of_unit] = np.where(is_exact[of_unit], exact[of_unit] * factor, fraction)
        left &= ~of_unit
        units[unit] = int(of_unit.sum())
    return microseconds, {**units, "nanoseconds": int(left.sum())}


def _iso(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Parses ISO dates to microseconds, int64 with nulls, and tells which of them have a zone, bool [n]."""
    matched = pc.extract_regex(column, _ISO)
    date, clock, second, fraction, zone = (
        pc.struct_field(matched, name) for name in ("date", "clock", "second", "fraction", "zone")
    )
    clock = pc.if_else(pc.equal(clock, ""), "00:00", clock)
    second = pc.if_else(pc.equal(second, ""), "00", second)
    text = pc.binary_join_element_wise(date, clock, second, " ")
    stamps = pc.strptime(text, format="%Y-%m-%d %H:%M %S", unit="us", error_is_null=True)
    # The day is checked, because 30 February would otherwise become 1 March.
    stamps = pc.if_else(pc.equal(pc.strftime(stamps, format="%Y-%m-%d"), date), stamps, None)
    micro = pc.cast(pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, 6, "0"), 0, 6), pa.int64())
    is_zoned = np.asarray(pc.fill_null(pc.not_equal(zone, ""), False))
    zones = zone.dictionary_encode()
    minutes = pa.array([_minutes(text) for text in zones.dictionary.to_pylist()], pa.int64()).take(zones.indices)
    local = pc.add(stamps.cast(pa.int64()), micro)
    return pc.subtract(local, pc.multiply(minutes, 60_000_000)), is_zoned


def _minutes(zone: str) -> int:
    """Returns the minutes by which the clocks of a zone such as "+02:00" are ahead of UTC."""
    if zone in ("", "Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (1 if zone[0] == "+" else -1) * (60 * int(digits[:2]) + int(digits[2:]))
