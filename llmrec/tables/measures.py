"""Reads metrics of a run by their path: from its record, from its values by row, or from its costs.

A metric path such as `fairness.popularity.mgu@5` names a value in the test part of metrics.json; paths that begin with
`cost.` name the functions in COSTS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.errors import InputError
from llmrec.metrics.base import Figure, Measure
from llmrec.metrics.shipped import FIGURES
from llmrec.tables.runs import Run


def figure_of(metric_path: str) -> Figure | None:
    """Returns what is known of a metric that ships with llmrec; None for a cost or a user's own metric."""
    return FIGURES.get(metric_path)


def is_known(metric_path: str, own: tuple[str, ...] = ()) -> bool:
    """Whether a metric path names a figure of a record, or a cost.

    Args:
        metric_path: A path, such as fairness.popularity.mgu@5 or cost.peak_memory.
        own: Names of the user's own metrics (group `metrics`), whose figures are not known here.
    """
    return metric_path in COSTS or metric_path in FIGURES or metric_path.partition(".")[0] in own


def has_users(metric_path: str) -> bool:
    """Whether the metric is a mean over rows or lists, so that recommenders can be compared pair by pair.

    A user's own metric that is a `RowMetric` has the path <name>.mean.
    """
    figure = figure_of(metric_path)
    if figure is None:
        return metric_path.endswith(".mean")
    return bool(figure.columns) and figure.measure is None


def has_sums(metric_path: str) -> bool:
    """Whether the metric is a function of sums over rows, so that users can be resampled: see `Sums`."""
    figure = figure_of(metric_path)
    return figure is not None and figure.measure is not None


def feature(metric_path: str) -> str | None:
    """Returns the reference feature of titles that the metric needs, or None."""
    figure = figure_of(metric_path)
    return None if figure is None else figure.feature


def value(run: Run, metric_path: str) -> float | None:
    """Returns a metric of the test split of a run, or None if it was not measured."""
    if metric_path in COSTS:
        return COSTS[metric_path](run)
    found: Any = run.test
    for key in metric_path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return None if found is None else float(found)


def values(users: pa.Table, metric_path: str) -> np.ndarray:
    """Returns a metric by row or list.

    Args:
        users: The values by row of the test split (`Run.users`).
        metric_path: A path for which `has_users` holds.

    Returns:
        float64 `[rows]` or `[lists]`.

    Raises:
        InputError: The metric, one of the user's own, has no values by row.
    """
    if metric_path not in users.column_names:
        raise InputError(
            f"{metric_path} has no values by row, so recommenders cannot be compared in it. Return the column "
            f"{metric_path.partition('.')[2]} from the metric's `rows`, or remove it from the table"
        )
    found: np.ndarray = users[metric_path].to_numpy().astype(np.float64)
    return found


@dataclass(frozen=True)
class Sums:
    """A metric as a function of sums over rows.

    Attributes:
        rows: float64 `[rows, parts]`, the summands.
        measure: Computes the metric from the sums, `[..., parts]` to `[...]`.
    """

    rows: np.ndarray
    measure: Measure


def sums(users: pa.Table, metric_path: str) -> Sums:
    """Returns a metric as a function of sums.

    Args:
        users: The values by row of the test split; it must have the columns that the metric needs.
        metric_path: A path for which `has_sums` holds.
    """
    figure, metric = FIGURES[metric_path], metric_path.partition(".")[0]
    assert figure.measure is not None
    return Sums(np.column_stack([_matrix(users, f"{metric}.{column}") for column in figure.columns]), figure.measure)


def _matrix(users: pa.Table, column: str) -> np.ndarray:
    """Returns a column as float64 `[rows, parts]`."""
    found = users[column].to_numpy()
    matrix = np.stack(found) if found.dtype == object else found[:, None]
    return matrix.astype(np.float64)


def _seconds_per_epoch(run: Run) -> float | None:
    epochs = run.training.get("timed_epochs")
    return run.training["seconds"]["training"] / epochs if epochs else None


def _peak_memory(run: Run) -> float | None:
    """Returns peak memory in GiB: of the process, or on a GPU what torch allocated there."""
    points = run.curves.get("train/memory_gib")
    return None if points is None else max(gib for _, gib in points)


def _rows_per_second(run: Run) -> float | None:
    return _per_second(run, "rows")


def _lists_per_second(run: Run) -> float | None:
    return _per_second(run, "lists")


def _per_second(run: Run, unit: str) -> float | None:
    # Records of earlier versions have no count of rows.
    ranked, seconds = run.test.get(unit), run.record["seconds"].get("test")
    return ranked / seconds if ranked and seconds else None


COSTS: dict[str, Callable[[Run], float | None]] = {
    "cost.seconds_per_epoch": _seconds_per_epoch,
    "cost.peak_memory": _peak_memory,
    "cost.rows_per_second": _rows_per_second,
    "cost.lists_per_second": _lists_per_second,
}
