"""The interface of metrics: families of figures that are computed from rankings, without a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from llmrec.evaluation.significance import clustered_standard_error, has_several

Measure = Callable[[np.ndarray], np.ndarray]
"""Computes a figure from sums over rows: float `[..., parts]` to `[...]`."""
Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Figure:
    """One number of a metric.

    Attributes:
        label: Its name in tables, such as `NDCG@10`.
        direction: Whether "higher" or "lower" is better; None for neither.
        columns: The per-row columns of `Metric.rows` that it is computed from; () if it is no function of sums over
            rows. Recommenders are compared, and users resampled, by these columns.
        measure: Computes it from the sums of the columns; None for the mean of a single column.
        heading: Its heading in the console table; None if it is not shown there.
        feature: The reference feature of titles that it needs, "relevance" or "embeddings"; None for neither.
    """

    label: str
    direction: Direction | None = None
    columns: tuple[str, ...] = ()
    measure: Measure | None = None
    heading: str | None = None
    feature: str | None = None


def ratio(parts: np.ndarray) -> np.ndarray:
    """Divides the first of two sums by the second, float `[..., 2]` to `[...]`; NaN where both are 0."""
    with np.errstate(invalid="ignore"):
        found: np.ndarray = parts[..., 0] / parts[..., 1]
    return found


class Metric(ABC):
    """A family of figures that is computed from a ranking (`CatalogueRanking` or `ListRanking`).

    Attributes:
        name: Key of the family in a record. A user's own metric gets that of its YAML.
        figures: The figures by their path below `name`, such as `ndcg@10`.
        compares_baseline: Whether it is also computed for the popularity baseline.
    """

    name: str
    figures: ClassVar[Mapping[str, Figure]]
    compares_baseline: ClassVar[bool] = False

    def rows(self, ranking: Any) -> dict[str, np.ndarray]:
        """Returns per-row values by column: float `[rows]`, or `[rows, parts]`. {} if there are none."""
        return {}

    @abstractmethod
    def record(self, ranking: Any, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns the figures of all rows, nested as in their paths; {} if the metric is undefined.

        Args:
            ranking: The ranking.
            rows: The result of `rows`.
        """

    def baseline_record(self, baseline: Any) -> dict[str, Any]:
        """Returns the figures of the popularity baseline's ranking, whose per-row values are not kept."""
        return self.record(baseline, self.rows(baseline))


class RowMetric(Metric):
    """Base of metrics that are the mean of one value per row, the simplest kind of a user's own metric.

    The record holds `mean` and its standard error `se`, clustered by user and left out if there is only one. A ranking
    of a task of one's own needs `users`, the user of each row.

    Attributes:
        label: Its name in tables.
        direction: See `Figure`.
    """

    label: ClassVar[str]
    direction: ClassVar[Direction | None] = None

    def __init_subclass__(cls) -> None:
        cls.figures = {"mean": Figure(cls.label, cls.direction, ("mean",), heading=cls.label)}

    @abstractmethod
    def values(self, ranking: Any) -> np.ndarray:
        """Returns the value of each row, float `[rows]`."""

    def rows(self, ranking: Any) -> dict[str, np.ndarray]:
        return {"mean": np.asarray(self.values(ranking), dtype=np.float64)}

    def record(self, ranking: Any, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        values = rows["mean"]
        found = {"mean": float(values.mean())}
        if has_several(ranking.users):
            found["se"] = clustered_standard_error(values, ranking.users)
        return found
