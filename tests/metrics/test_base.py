"""Metrics of a user's own, and figures that follow from values by row."""

from dataclasses import replace
from itertools import chain
from math import sqrt
from typing import Any

import numpy as np
import pytest

from llmrec.errors import InputError
from llmrec.metrics.base import Figure, Metric, RowMetric
from llmrec.metrics.ranking import CatalogueRanking, ListRanking
from llmrec.metrics.shipped import CATALOGUE, FIGURES, LISTS
from llmrec.tasks.base import build_metrics, build_task
from tests.evaluation.small import DATASET
from tests.metrics.small import catalogue_ranking, list_ranking
from tests.tasks.given import GivenTitles, ranked_parts, record_of_parts, run_config

NOVELTY = {"_target_": "tests.metrics.test_base.Novelty"}
MADE = {
    "by_title.ndcg@5", "by_item.hr@10", "fairness.popularity.mgu@5", "fairness.relevance.dgu@10",
    "fairness.head20_share", "hallucination.semantic_share", "unconstrained.invalid_title_rate", "by_list.ndcg@1",
    "position.ndcg_std", "unconstrained.parse_failure_rate",
}  # fmt: skip
"""Some figures with columns, of each family."""


class Novelty(RowMetric):
    """The share of recommended titles that the history does not contain."""

    label = "novelty"
    direction = "higher"

    def values(self, ranking: CatalogueRanking) -> np.ndarray:
        rows = ranking.rows
        history = ranking.dataset.items.title_of[rows.history]
        return np.array(
            [
                np.mean(~np.isin(titles[titles >= 0], history[rows.history_row == row]))
                for row, titles in enumerate(ranking.titles)
            ]
        )


class OfLists(RowMetric):
    """The first position of the best candidate."""

    label = "first"
    direction = "lower"

    def values(self, ranking: ListRanking) -> np.ndarray:
        return ranking.orders[0][:, 0]


def with_columns() -> dict[str, tuple[Metric, Figure, Any]]:
    """Returns the metric, the definition and a ranking of each shipped figure that has columns, by its path."""
    shipped = chain(((metric, catalogue_ranking) for metric in CATALOGUE), ((metric, list_ranking) for metric in LISTS))
    return {
        f"{metric.name}.{path}": (metric, figure, ranking)
        for metric, ranking in shipped
        for path, figure in metric.figures.items()
        if figure.columns
    }


@pytest.mark.parametrize("path", with_columns())
def test_a_shipped_figure_follows_from_its_values_by_row(path: str) -> None:
    metric, figure, ranking = with_columns()[path]
    rows = metric.rows(ranking())
    expected: Any = metric.record(ranking(), rows)
    for key in path.removeprefix(f"{metric.name}.").split("."):
        expected = expected[key]
    assert expected != 0
    columns = [rows[column] for column in figure.columns]
    if figure.measure is None:
        (values,) = columns
        assert values.mean() == pytest.approx(expected)
        return
    sums = np.column_stack(columns).sum(axis=0)
    assert figure.measure(sums) == pytest.approx(expected)
    # Bootstrap samples come as a batch.
    assert figure.measure(np.stack([sums, 2 * sums])) == pytest.approx(np.array([expected, expected]))


def test_figures_of_each_family_have_columns() -> None:
    assert with_columns().keys() >= MADE
    assert not {"fairness.gini", "fairness.coverage", "fairness.category.mgu@5"} & with_columns().keys()


@pytest.mark.parametrize(("metrics", "ranking"), [(CATALOGUE, catalogue_ranking), (LISTS, list_ranking)])
def test_every_shipped_figure_is_in_the_record(metrics: tuple[Metric, ...], ranking: Any) -> None:
    for metric in metrics:
        record = metric.record(ranking(), metric.rows(ranking()))
        for path in metric.figures:
            found: Any = record
            # The small catalogue has no categories.
            for key in () if path.startswith("category.") else path.split("."):
                found = found[key]
            assert f"{metric.name}.{path}" in FIGURES


def test_a_row_metric_is_the_mean_of_its_values() -> None:
    metric, ranking = Novelty(), catalogue_ranking()
    rows = metric.rows(ranking)
    # Histories: Braid, Civ; Civ, Doom; Anno; Doom.
    # Lists: all five; Braid, Civ, Doom, Anno; all five; Braid, Anno, Doom.
    assert rows["mean"].tolist() == pytest.approx([3 / 5, 2 / 4, 4 / 5, 2 / 3])
    mean = (3 / 5 + 2 / 4 + 4 / 5 + 2 / 3) / 4
    deviations = [value - mean for value in (3 / 5, 2 / 4, 4 / 5, 2 / 3)]
    error = sqrt(sum(deviation**2 for deviation in deviations) / 3) / 2
    assert metric.record(ranking, rows) == pytest.approx({"mean": mean, "se": error})
    assert Novelty.figures == {"mean": Figure("novelty", "higher", ("mean",), heading="novelty")}
    assert OfLists.figures["mean"].direction == "lower"


def test_the_standard_error_of_a_row_metric_is_clustered_by_user() -> None:
    ranking = catalogue_ranking()
    of_two = replace(ranking, rows=replace(ranking.rows, user=np.array(["a", "a", "b", "b"])))
    # Residuals from the mean of 1/2, summed by user: 1 and -1; sqrt(2 / 1 * 2) / 4 rows.
    rows = {"mean": np.array([1.0, 1.0, 0.0, 0.0])}
    assert Novelty().record(of_two, rows) == pytest.approx({"mean": 0.5, "se": 0.5})
    of_one = replace(ranking, rows=replace(ranking.rows, user=np.array(["a"] * 4)))
    assert Novelty().record(of_one, rows) == {"mean": 0.5}


def test_a_metric_of_ones_own_is_in_the_record_and_among_the_values_by_row() -> None:
    config = run_config("next_item", metrics={"new_titles": NOVELTY})
    lists = np.array([[0, 1], [0, 2], [1, 3], [3, 1]], dtype=np.int32)
    parts = ranked_parts(GivenTitles(lists), DATASET, "test", config)
    record, rows = record_of_parts(parts, DATASET, "test", config)
    # Histories: Braid, Civ; Civ, Doom; Anno; Doom.
    assert rows["new_titles.mean"].to_pylist() == [0.5, 0.5, 1, 0.5]
    assert record["new_titles"] == pytest.approx({"mean": 0.625, "se": 0.125})
    assert "new_titles" not in record["popularity_baseline"]
    # All others are as without it.
    plain, plain_rows = record_of_parts(parts, DATASET, "test", run_config("next_item"))
    assert {name: value for name, value in record.items() if name != "new_titles"} == plain
    assert rows.drop_columns("new_titles.mean") == plain_rows


def test_metrics_of_ones_own_join_those_of_the_task_under_the_names_of_their_keys() -> None:
    config = run_config("next_item", metrics={"novelty": NOVELTY, "again": NOVELTY})
    found = build_metrics(build_task(config), config)
    assert found[: len(CATALOGUE)] == list(CATALOGUE)
    assert [metric.name for metric in found[len(CATALOGUE) :]] == ["novelty", "again"]


@pytest.mark.parametrize(("task", "name"), [("next_item", "fairness"), ("rerank", "by_list")])
def test_the_name_of_a_shipped_metric_is_refused(task: str, name: str) -> None:
    config = run_config(task, metrics={name: NOVELTY})
    with pytest.raises(InputError, match=rf"metrics\.{name}: the task has a metric of this name\. Give it another key"):
        build_metrics(build_task(config), config)


def test_a_metric_that_cannot_be_built_is_named() -> None:
    config = run_config("next_item", metrics={"novelty": {**NOVELTY, "window": 3}})
    with pytest.raises(InputError, match=r"metrics\.novelty\.window: there is no such setting"):
        build_metrics(build_task(config), config)
