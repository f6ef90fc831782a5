"""The record of ranked candidate lists, worked out by hand."""

from dataclasses import replace
from itertools import permutations
from math import log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.evaluation.graded import graded_ndcg
from llmrec.evaluation.list_accuracy import popular_order
from tests.evaluation.small import DATASET, rows_of
from tests.tasks.given import RANKED, GivenOrders, lists_of, ranked_parts, record_of_parts, run_config, titles_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets in train: Anno 2, Civ 2, Braid 1.
GAINS = [[1, 3, 7], [15, 0, 3], [3, 3, 1]]


def with_lists(dataset: Dataset = DATASET) -> Dataset:
    """Returns the dataset with the same three lists in both splits."""
    return replace(dataset, lists={"valid": lists_of(), "test": lists_of()})


def record_of(orders: np.ndarray, dataset: Dataset = DATASET, split: str = "test") -> tuple[dict[str, Any], pa.Table]:
    """Returns the record of rankings, int [orders, lists, m], and the values by list."""
    config = run_config("rerank", orders=len(orders))
    parts = ranked_parts(GivenOrders(orders), with_lists(dataset), split, config)
    return record_of_parts(parts, with_lists(dataset), split, config)


def test_metrics_by_hand() -> None:
    metrics, table = record_of(RANKED[None])
    discount = [1, 1 / log2(3), 1 / 2]
    worst = np.dot([1, 3, 7], discount) / np.dot([7, 3, 1], discount)
    assert {name: metrics[name] for name in ("dataset", "simulated", "lists", "users", "candidates")} == {
        "dataset": "tiny-sim", "simulated": True, "lists": 3, "users": 2, "candidates": 3,
    }  # fmt: skip
    expected = {"ndcg@1": (1 / 7 + 1 + 1) / 3} | dict.fromkeys(("ndcg@3", "ndcg@5", "ndcg@10"), (worst + 2) / 3)
    # Deviations from the mean, summed by user, are the opposite of each other: 2 / 1 * 2 * d^2, its root over 3.
    expected |= {f"{name}_se": 2 * (1 - expected[name]) / 3 for name in ("ndcg@1", "ndcg@10")}
    assert metrics["by_list"] == pytest.approx(expected)
    assert table["by_list.ndcg@10"].to_pylist() == pytest.approx([worst, 1, 1])
    assert table["user"].to_pylist() == ["u", "u", "v"]
    columns = ["list", "user", "by_list.ndcg@1", "by_list.ndcg@3", "by_list.ndcg@5", "by_list.ndcg@10"]
    assert table.column_names == columns


def test_the_table_of_the_ranking() -> None:
    ranker, config = GivenOrders(RANKED[None]), run_config("rerank")
    table = ranked_parts(ranker, with_lists(), "test", config)["ranking"]
    assert table.to_pydict() == {
        "list": [0, 1, 2],
        "user": ["u", "u", "v"],
        "ranked": [["e", "c", "a"], ["b", "e", "f"], ["b", "d", "c"]],
        "relevance": [[1, 2, 3], [4, 2, 0], [2, 2, 1]],
        "order": [[0, 1, 2], [0, 2, 1], [1, 0, 2]],
    }


def test_the_popularity_floor_by_hand() -> None:
    # Doom 0, Civ 2, Anno 2: Anno stands first in the catalogue; Braid, Doom, Elite; Anno, Civ, Braid.
    assert popular_order(titles_of(lists_of()), DATASET, "test").tolist() == [[2, 1, 0], [0, 2, 1], [0, 2, 1]]
    metrics, _ = record_of(RANKED[None])
    last = (3 + 1 / log2(3) + 3 / 2) / (3 + 3 / log2(3) + 1 / 2)
    assert metrics["popularity_baseline"]["by_list"]["ndcg@3"] == pytest.approx((1 + 1 + last) / 3)


def test_chance_in_the_record() -> None:
    metrics, _ = record_of(RANKED[None])
    assert metrics["random_order"]["ndcg@1"] == pytest.approx(np.mean([11 / 3 / 7, 6 / 15, 7 / 3 / 3]))
    expected = np.mean([graded_ndcg(np.tile(order, (3, 1)), np.array(GAINS), 3) for order in permutations(range(3))])
    assert metrics["random_order"]["ndcg@10"] == pytest.approx(expected)


def test_one_order_has_no_position_sensitivity() -> None:
    metrics, table = record_of(RANKED[None])
    assert "position" not in metrics
    assert not [name for name in table.column_names if name.startswith("position.")]


def test_position_sensitivity_by_hand() -> None:
    """The second ranking reverses the first list and keeps the others."""
    other = RANKED.copy()
    other[0] = [2, 1, 0]
    metrics, table = record_of(np.stack([RANKED, other]))
    discount = [1, 1 / log2(3), 1 / 2]
    worst = np.dot([1, 3, 7], discount) / np.dot([7, 3, 1], discount)
    assert metrics["position"] == pytest.approx(
        {"orders": 2, "ndcg@10": ((worst + 1) / 2 + 2) / 3, "ndcg_std": (1 - worst) / 2 / 3, "kendall_tau": 1 / 3}
    )
    assert table["position.kendall_tau"].to_pylist() == [-1, 1, 1]
    # All other metrics are those of the stored order.
    alone, alone_table = record_of(RANKED[None])
    assert {name: value for name, value in metrics.items() if name != "position"} == alone
    measured = [f"position.{name}" for name in ("ndcg@10", "ndcg_std", "kendall_tau")]
    assert table["position.ndcg@10"].to_pylist() == pytest.approx([(worst + 1) / 2, 1, 1])
    assert table.drop_columns(measured) == alone_table


def test_for_test_the_floor_counts_what_was_held_out_of_the_train_file() -> None:
    # Braid is a target three times in validation: 4 in all.
    dataset = replace(DATASET, valid=rows_of(*[([2], 1)] * 3), valid_held_out=True)
    assert popular_order(titles_of(lists_of()), dataset, "valid").tolist() == [[2, 1, 0], [0, 2, 1], [0, 2, 1]]
    assert popular_order(titles_of(lists_of()), dataset, "test").tolist() == [[2, 1, 0], [0, 2, 1], [1, 0, 2]]
    floors = [
        record_of(RANKED[None], dataset, split)[0]["popularity_baseline"]["by_list"] for split in ("valid", "test")
    ]
    # The third list's gains are 3, 3, 1 as it stands: Braid and then Anno are the best order.
    assert [floor["ndcg@1"] for floor in floors] == pytest.approx([1, 1])
    assert floors[0]["ndcg@3"] < floors[1]["ndcg@3"] == pytest.approx(1)
