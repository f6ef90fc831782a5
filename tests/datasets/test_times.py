import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from llmrec.datasets.tables import Table
from llmrec.datasets.times import Times, checked_times, parsed_times
from llmrec.errors import InputError

SECOND = 1_700_000_000
"""2023-11-14T22:13:20Z."""


def read(values: Any) -> Times:
    table = Table(Path("orders.csv"), pl.DataFrame(pa.table({"when": values})).lazy())
    return checked_times(table, "when", table.read(when=parsed_times(table, "when"))["when"])


@pytest.mark.parametrize(
    ("value", "fraction", "unit"),
    [
        ("1700000000", 0, "seconds"),
        ("1700000000.0", 0, "seconds"),
        ("1700000000.25", 250_000, "seconds"),
        ("1700000000250", 250_000, "milliseconds"),
        ("1700000000250.0", 250_000, "milliseconds"),
        ("1700000000000001", 1, "microseconds"),
        ("1700000000000000000", 0, "nanoseconds"),
        ("2023-11-14T22:13:20Z", 0, "dates"),
        ("2023-11-14 22:13:20.25 UTC", 250_000, "dates"),
        ("2023-11-15T00:13:20+02:00", 0, "dates"),
        ("2023-11-14T16:43:20-0530", 0, "dates"),
        ("2023-11-14 22:13:20", 0, "dates without zone"),
        (1_700_000_000.0, 0, "seconds"),
        (1_700_000_000_000.0, 0, "milliseconds"),
        (1_700_000_000, 0, "seconds"),
        (pa.scalar(SECOND, pa.timestamp("s")), 0, "dates without zone"),
        (pa.scalar(SECOND * 1_000, pa.timestamp("ms", "Europe/Berlin")), 0, "dates"),
    ],
)
def test_one_moment_in_all_forms(value: Any, fraction: int, unit: str) -> None:
    found = read(pa.array([value.as_py()], value.type) if isinstance(value, pa.Scalar) else [value])
    assert found.microseconds.tolist() == [SECOND * 1_000_000 + fraction]
    assert found.units == {unit: 1}


def test_days_begin_at_midnight() -> None:
    for values in (["2023-11-14"], pa.array([19_675], pa.date32())):
        assert read(values).microseconds.tolist() == [19_675 * 86_400 * 1_000_000]
    assert read(["2023-11-14T22:13"]).microseconds.tolist() == [(SECOND - 20) * 1_000_000]


def test_each_number_is_read_by_its_magnitude() -> None:
    found = read([SECOND, SECOND * 1_000 + 1_000, 5])
    assert found.microseconds.tolist() == [SECOND * 1_000_000, (SECOND + 1) * 1_000_000, 5_000_000]
    assert found.units == {"seconds": 2, "milliseconds": 1}


@pytest.mark.parametrize(
    "value", ["noon", "", "2023-02-30", "2023-13-01", "14.11.2023", "1.7E+09", "20231114T10", None]
)
def test_what_is_no_time_is_named(value: str | None) -> None:
    message = f"orders.csv, row 2: when is {str(value)!r}, not a time"
    with pytest.raises(InputError, match=re.escape(message) + ".* Correct or remove"):
        read(["5", value])
