"""Metrics of a ranking beside those of the popularity baseline, and the table of their values by row."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from llmrec.errors import InputError
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.measured import measured, row_table


class Length(Metric):
    """The number of rows."""

    name = "length"
    figures: ClassVar[Mapping[str, Figure]] = {}
    compares_baseline = True

    def rows(self, ranking: Any) -> dict[str, np.ndarray]:
        return {"one": np.ones(ranking), "pair": np.ones((ranking, 2))}

    def record(self, ranking: Any, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {"rows": ranking, "sum": rows["pair"].sum()}


class Alone(Length):
    """The same, without the baseline."""

    name = "alone"
    compares_baseline = False


class Undefined(Metric):
    """A metric that is undefined for any ranking."""

    name = "undefined"
    figures: ClassVar[Mapping[str, Figure]] = {}
    compares_baseline = True

    def record(self, ranking: Any, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {}


def test_records_and_columns_by_name() -> None:
    records, columns = measured([Length(), Alone(), Undefined()], 3, 5)
    assert records == {
        "length": {"rows": 3, "sum": 6},
        "alone": {"rows": 3, "sum": 6},
        "popularity_baseline": {"length": {"rows": 5, "sum": 10}},
    }
    assert list(columns) == ["length.one", "length.pair", "alone.one", "alone.pair"]
    assert columns["alone.pair"].shape == (3, 2)


def test_values_by_row_stand_beside_what_identifies_the_rows() -> None:
    values = {"a.one": np.array([0.5, 1]), "a.bins": np.array([[1.0, 2, 3], [4, 5, 6]])}
    table = row_table({"row": pa.array([0, 1])}, values)
    assert table.to_pydict() == {"row": [0, 1], "a.one": [0.5, 1], "a.bins": [[1, 2, 3], [4, 5, 6]]}
    assert table.schema.field("a.bins").type == pa.list_(pa.float64(), 3)


@pytest.mark.parametrize("undefined", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_refused_by_its_path(undefined: float) -> None:
    class Bad(Length):
        def record(self, ranking: Any, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
            return {"inner": {"share": undefined}}

    with pytest.raises(InputError, match=rf"metric length\.inner\.share is {undefined}"):
        measured([Bad()], 3, 3)


def test_values_that_are_not_one_per_row_are_refused_by_their_name() -> None:
    _, columns = measured([Length()], 3, 3)
    with pytest.raises(InputError, match=r"metric length\.one returned 3 values for 4 rows"):
        row_table({"row": pa.array(range(4))}, columns)
