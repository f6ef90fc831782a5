"""Converts Arrow columns to text, numbers and lists of text. A value that cannot be converted becomes null."""

import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = r"^[+-]?[0-9]{1,18}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INT64 = pa.scalar(2**63 - 1, pa.uint64())
_EXACT = 2.0**53
"""Up to here, float64 holds every whole number."""


def plain(column: pa.Array) -> pa.Array:
    """Returns a column with dictionaries decoded and all kinds of strings as string."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or str(column.type) == "string_view":
        column = column.cast(pa.string())
    return column


def kind(column: pa.Array) -> str:
    """Names the type of a column's values, for error messages."""
    type_ = plain(column).type
    if pa.types.is_nested(type_):
        return "structs" if pa.types.is_struct(type_) else "lists"
    if "binary" in str(type_):
        return "bytes"
    return "text" if pa.types.is_string(type_) else str(type_)


def text(column: pa.Array) -> pa.Array:
    """Converts a column to strings. Whole floats lose their fraction: 7.0 becomes "7", as the integer 7 does.

    Null: NaN, whole floats that are not exact (above 2^53), bytes, lists and structs.
    """
    column = plain(column)
    if pa.types.is_floating(column.type):
        fraction = pc.if_else(_is_whole(column), None, pc.cast(column, pa.string()))
        fraction = pc.if_else(pc.is_finite(column), fraction, None)
        return pc.coalesce(_whole(column).cast(pa.string()), fraction)
    if pa.types.is_decimal(column.type):
        return pc.replace_substring_regex(column.cast(pa.string()), r"\.0*$", "")
    if pa.types.is_nested(column.type) or "binary" in str(column.type):
        return pa.nulls(len(column), pa.string())
    return column.cast(pa.string())


def without_zero_fraction(column: pa.Array) -> pa.Array:
    """Returns strings as whole numbers ("7.0" as "7") if all of them are written with a fraction of zero.

    This is how pandas writes a column of whole numbers to CSV after a merge that made them floats.
    """
    is_whole = pc.match_substring_regex(column, r"^[+-]?[0-9]{1,15}\.0+$")
    if not len(column) or not pc.all(pc.fill_null(is_whole, False)).as_py():
        return column
    return pc.replace_substring_regex(column, r"\.0+$", "")


def integers(column: pa.Array) -> pa.Array:
    """Converts whole numbers, also those written as 7.0, to int64."""
    column = plain(column)
    if pa.types.is_floating(column.type):
        return _whole(column)
    if pa.types.is_integer(column.type):
        is_small = pc.less_equal(column, _INT64) if pa.types.is_uint64(column.type) else True
        return pc.cast(pc.if_else(is_small, column, None), pa.int64())
    if not (pa.types.is_string(column.type) or pa.types.is_decimal(column.type)):
        return pa.nulls(len(column), pa.int64())
    digits = pc.replace_substring_regex(column.cast(pa.string()), r"\.0*$", "")
    return _matching(digits, _INTEGER).cast(pa.int64())


def floats(column: pa.Array) -> pa.Array:
    """Converts finite numbers to float64."""
    column = plain(column)
    if pa.types.is_string(column.type):
        column = _matching(column, _NUMBER)
    elif not any(is_kind(column.type) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)):
        return pa.nulls(len(column), pa.float64())
    column = pc.cast(column, pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(column), column, None)


def is_empty(column: pa.Array) -> bool:
    """Returns whether a column has no values: all null or, as pandas writes it, NaN."""
    column = plain(column)
    if pa.types.is_floating(column.type):
        return bool(pc.all(pc.fill_null(pc.is_nan(column), True)).as_py())
    return column.null_count == len(column)


def _is_whole(column: pa.Array) -> pa.Array:
    return pc.and_(pc.is_finite(column), pc.equal(pc.round(column), column))


def _whole(column: pa.Array) -> pa.Array:
    column = pc.cast(column, pa.float64())
    is_exact = pc.and_(_is_whole(column), pc.less_equal(pc.abs(column), _EXACT))
    return pc.cast(pc.if_else(is_exact, column, None), pa.int64())


def _matching(column: pa.Array, pattern: str) -> pa.Array:
    """Returns the strings that match, without a leading plus sign, which Arrow cannot parse."""
    is_valid = pc.match_substring_regex(column, pattern)
    return pc.replace_substring_regex(pc.if_else(is_valid, column, None), r"^\+", "")
