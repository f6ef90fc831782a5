"""Expressions that convert columns to text, numbers and lists of text. What cannot be converted becomes null."""

from typing import Any

import polars as pl

_ZERO_FRACTION = r"\.0*$"
_EXACT = 2.0**53
"""Up to here, float64 holds every whole number."""


def is_text(type_: Any) -> bool:
    """Returns whether a column holds text, dictionaries of text included."""
    return isinstance(type_, pl.String | pl.Categorical | pl.Enum)


def kind(type_: pl.DataType) -> str:
    """Names the type of a column's values, for error messages."""
    if type_.is_nested():
        return "structs" if isinstance(type_, pl.Struct) else "lists"
    if isinstance(type_, pl.Binary):
        return "bytes"
    return "text" if is_text(type_) else str(type_)


def text(name: str, type_: pl.DataType) -> pl.Expr:
    """Converts a column to strings. Whole floats lose their fraction: 7.0 becomes "7", as the integer 7 does.

    Null: NaN, whole floats that are not exact (above 2^53), bytes, lists and structs.
    """
    column = pl.col(name)
    if type_.is_float():
        fraction = pl.when(column.is_finite() & (column.round() != column)).then(column).cast(pl.String)
        return pl.coalesce(_whole(column).cast(pl.String), fraction)
    if type_.is_decimal():
        return column.cast(pl.String).str.replace(_ZERO_FRACTION, "")
    if type_.is_nested() or isinstance(type_, pl.Binary):
        return pl.lit(None, pl.String)
    return column.cast(pl.String)


def unless_blank(text: pl.Expr) -> pl.Expr:
    """Returns texts in which "" is null, since files often have it in place of a missing value."""
    return pl.when(text != "").then(text)


def integers(name: str, type_: pl.DataType) -> pl.Expr:
    """Converts whole numbers, also those written as 7.0, to Int64."""
    column = pl.col(name)
    if type_.is_float():
        return _whole(column)
    if type_.is_integer():
        return column.cast(pl.Int64, strict=False)
    if not (is_text(type_) or type_.is_decimal()):
        return pl.lit(None, pl.Int64)
    return column.cast(pl.String).map_batches(_whole_of_text, return_dtype=pl.Int64, is_elementwise=True)


def floats(name: str, type_: pl.DataType) -> pl.Expr:
    """Converts finite numbers to Float64."""
    column = pl.col(name)
    if is_text(type_):
        number = column.cast(pl.String).cast(pl.Float64, strict=False)
    elif type_.is_numeric():
        number = column.cast(pl.Float64)
    else:
        return pl.lit(None, pl.Float64)
    return pl.when(number.is_finite()).then(number)


def lists(name: str, type_: pl.DataType) -> pl.Expr:
    """Converts lists of text, and text separated by |, to lists of text without nulls; blank text gives none."""
    column = pl.col(name)
    if is_text(type_):
        parts = column.cast(pl.String).str.split("|").list.eval(pl.element().str.strip_chars())
        return parts.list.eval(pl.element().filter(pl.element() != "")).fill_null([])
    inner = type_.inner if isinstance(type_, pl.List) else None
    if inner is not None and (is_text(inner) or isinstance(inner, pl.Null)):
        return column.cast(pl.List(pl.String)).list.drop_nulls().fill_null([])
    return pl.lit(None, pl.List(pl.String))


def is_missing(name: str, type_: pl.DataType) -> pl.Expr:
    """Returns whether a value is null or, as pandas writes it, NaN."""
    column = pl.col(name)
    return column.is_null() | column.is_nan() if type_.is_float() else column.is_null()


def _whole(column: pl.Expr) -> pl.Expr:
    number = column.cast(pl.Float64)
    is_exact = number.is_finite() & (number.round() == number) & (number.abs() <= _EXACT)
    return pl.when(is_exact).then(number).cast(pl.Int64)


def _whole_of_text(text: pl.Series) -> pl.Series:
    whole = text.cast(pl.Int64, strict=False)
    # Few columns have fractions, whose search takes longer than the numbers.
    rows = whole.is_null().arg_true()
    if not len(rows):
        return whole
    return whole.scatter(rows, text[rows].str.replace(_ZERO_FRACTION, "").cast(pl.Int64, strict=False))
