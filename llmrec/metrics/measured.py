"""Computes the metrics of a ranking, with their per-row values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.errors import InputError
from llmrec.metrics.base import Metric


def measured(metrics: Sequence[Metric], ranking: Any, baseline: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Computes metrics of a ranking and, for those that ask for it, of the popularity baseline.

    Args:
        metrics: The metrics.
        ranking: The ranking.
        baseline: The popularity baseline's ranking of the same rows.

    Returns:
        The records by name, with `popularity_baseline`, and the per-row values by `<metric>.<column>`.
    """
    records: dict[str, Any] = {}
    columns: dict[str, np.ndarray] = {}
    of_baseline: dict[str, Any] = {}
    for metric in metrics:
        rows = metric.rows(ranking)
        columns |= {f"{metric.name}.{column}": values for column, values in rows.items()}
        _keep(records, metric, metric.record(ranking, rows))
        if metric.compares_baseline:
            _keep(of_baseline, metric, metric.baseline_record(baseline))
    return records | {"popularity_baseline": of_baseline}, columns


def _keep(records: dict[str, Any], metric: Metric, record: dict[str, Any]) -> None:
    # Fairness without recommendations is {} in the record; a part that was not asked for is left out.
    if record:
        _refuse_undefined(metric.name, record)
        records[metric.name] = record


def _refuse_undefined(path: str, value: Any) -> None:
    """Raises InputError if a figure of a record is not finite."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_undefined(f"{path}.{key}", inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"the metric {path} is {value}. Have its `record` leave out figures that are not defined")


def row_table(identity: Mapping[str, pa.Array], columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Returns a table of rows: what identifies them, and per-row values, float [rows] or [rows, parts].

    Raises:
        InputError: A column does not have one entry per row.
    """
    rows = len(next(iter(identity.values())))
    for name, values in columns.items():
        if len(values) != rows:
            raise InputError(f"the metric {name} returned {len(values)} values for {rows} rows. Return one per row")
    return pa.table(
        {
            **identity,
            **{
                name: pa.array(values)
                if values.ndim == 1
                else pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
                for name, values in columns.items()
            },
        }
    )
