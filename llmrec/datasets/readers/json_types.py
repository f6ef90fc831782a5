"""Infers the types of the columns of JSON lines."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from llmrec.datasets.readers.blocks import blocks
from llmrec.datasets.readers.scans import SPACES, parse_lines

TEXTS, EMPTY_LISTS, NOTHING = pl.List(pl.String), pl.List(pl.Null), pl.Null()
_DEEP = re.compile(rb"(?:[\[{][^\[\]{}]*+){50}")
"""Fifty brackets in one another. polars takes the cube of the depth to infer a type: 7 seconds for 500."""


def json_types(path: Path) -> dict[str, pl.DataType]:
    """Returns the keys of all objects in a file of JSON lines, and their types; errors as for `scan_json_lines`.

    Values of a key are text, unless all of them are lists or objects of one type; mixed values are text, too.
    """
    types: dict[str, pl.DataType] = {}
    for block, first_row in blocks(path, blank=SPACES):
        found = _polars_types(block) or _python_types(parse_lines(path, block, first_row, json.loads, "JSON"))
        for name, type_ in found.items():
            types[name] = _common(types.get(name, NOTHING), TEXTS if type_ == EMPTY_LISTS else type_)
    return {name: type_ if type_.is_nested() else pl.String() for name, type_ in types.items()}


def _polars_types(block: bytes) -> Mapping[str, pl.DataType] | None:
    """Infers types; None for a block that polars cannot read, or not in reasonable time."""
    if _DEEP.search(block):
        return None
    try:
        return pl.read_ndjson(block, infer_schema_length=None).schema
    except (pl.exceptions.PolarsError, OSError):
        return None


def _python_types(rows: Sequence[Mapping[str, Any]]) -> dict[str, pl.DataType]:
    """Finds lists among values that polars cannot read together."""
    types: dict[str, pl.DataType] = {}
    for row in rows:
        for name, value in row.items():
            type_ = NOTHING if value is None else TEXTS if isinstance(value, list) else pl.String()
            types[name] = _common(types.get(name, NOTHING), type_)
    return types


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """Returns the type of values of two types, of which one may be null: text if they differ."""
    if NOTHING in (one, other):
        return other if one == NOTHING else one
    return one if one == other else pl.String()
