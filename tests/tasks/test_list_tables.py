"""The table at the end of a run of task rerank."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console

from llmrec.metrics.base import Metric, RowMetric
from llmrec.metrics.ranking import ListRanking
from llmrec.metrics.shipped import LISTS
from llmrec.tasks.list_tables import lists_table

NDCG = {"ndcg@1": 0.51, "ndcg@3": 0.5234, "ndcg@5": 0.6, "ndcg@10": 0.7001}
ERRORS = {"ndcg@1_se": 0.02, "ndcg@10_se": 0.0123}
BARE = {
    "dataset": "movielens_100k",
    "lists": 1234,
    "users": 12,
    "candidates": 10,
    "recommender": "model",
    "by_list": NDCG,
    "popularity_baseline": {"by_list": dict.fromkeys(NDCG, 0.4)},
    "random_order": dict.fromkeys(NDCG, 0.3),
}
FULL = BARE | {
    "by_list": NDCG | ERRORS,
    "popularity_baseline": {"by_list": dict.fromkeys(NDCG, 0.4) | {"ndcg@10_se": 0.0456}},
    "position": {"orders": 5, "ndcg@10": 0.69, "ndcg_std": 0.0345, "kendall_tau": -0.25},
    "unconstrained": {"parse_failure_rate": 0.125, "lists": 1234},
}


def printed(splits: dict[str, dict[str, Any]], metrics: Sequence[Metric] = LISTS, width: int = 100) -> list[list[str]]:
    """Returns the words of each line."""
    console = Console(width=width, file=StringIO(), record=True)
    console.print(lists_table(splits, metrics))
    return [line.split() for line in console.export_text().splitlines()]


def test_rows_and_columns() -> None:
    lines = printed({"valid": FULL, "test": FULL})
    titles = [f"{split}: 1,234 lists of 12 users" for split in ("validation", "test")]
    assert lines[:3] == [title.split() for title in ("movielens_100k, lists of 10", *titles)]
    heading = lines.index(["split", "re-ranker", "@1", "@3", "@5", "@10", "SE", "std", "tau", "fails"])
    assert lines[heading - 1] == [*["NDCG"] * 4, "@10", "order", "Kend.", "parse"]
    figures = ["0.5100", "0.5234", "0.6000", "0.7001", "0.0123", "0.0345", "-0.2500", "0.1250"]
    for split, first in (("validation", heading + 2), ("test", heading + 5)):
        assert lines[first : first + 3] == [
            [split, "model", *figures],
            [split, "popularity", *["0.4000"] * 4, "0.0456", *["-"] * 3],
            [split, "chance", *["0.3000"] * 4, *["-"] * 4],
        ]


def test_what_was_not_measured_is_a_dash() -> None:
    lines = printed({"test": BARE | {"recommender": "sasrec"}})
    assert ["test", "sasrec", "0.5100", "0.5234", "0.6000", "0.7001", *["-"] * 4] in lines
    assert not any("validation" in line for line in lines)


def test_a_terminal_of_80_columns_cuts_nothing_off() -> None:
    words = [word for line in printed({"valid": FULL, "test": FULL}, width=80) for word in line]
    assert not any("…" in word for word in words)
    assert words.count("0.1250") == 2


class Length(RowMetric):
    """A user's own metric."""

    label = "length"

    def values(self, ranking: ListRanking) -> np.ndarray:
        return np.full(len(ranking.lists), 10)


def test_a_metric_of_ones_own_has_its_column_last() -> None:
    own = Length()
    own.name = "length"
    lines = printed({"test": FULL | {"length": {"mean": 10.0}}}, [*LISTS, own])
    assert ["split", "re-ranker", "@1", "@3", "@5", "@10", "SE", "std", "tau", "fails", "length"] in lines
    assert next(line for line in lines if line[:2] == ["test", "model"])[-2:] == ["0.1250", "10.0000"]
