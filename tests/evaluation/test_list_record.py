"""The record of ranked candidate lists, worked out by hand."""

from dataclasses import replace
from itertools import permutations
from math import log2

import numpy as np
import pytest
from llmrec.evaluation.list_record import accuracies, list_record, order_by_scores, popular_order, random_ndcg

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.evaluation.graded import graded_ndcg
from tests.evaluation.small import DATASET, rows_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets in train: Anno 2, Civ 2, Braid 1.
CANDIDATES = np.array([[4, 2, 0], [1, 5, 4], [3, 1, 2]], dtype=np.int32)
RELEVANCE = np.array([[1, 2, 3], [4, 0, 2], [2, 2, 1]], dtype=np.float32)
USERS = np.array(["u", "u", "v"])
GAINS = [[1, 3, 7], [15, 0, 3], [3, 3, 1]]
RANKED = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2]])
"""Worst first, best first, best first with the two equal ones in either order."""


def lists_of(users: np.ndarray = USERS) -> Lists:
    """Three lists of two users, without histories."""
    rows = rows_of(([], 0), ([], 1), ([], 3))
    rows.user[:] = users
    return Lists(rows, None, CANDIDATES, RELEVANCE)


def test_metrics_by_hand() -> None:
    metrics, table = list_record(RANKED[None], lists_of(), DATASET, "test")
    discount = [1, 1 / log2(3), 1 / 2]
    worst = np.dot([1, 3, 7], discount) / np.dot([7, 3, 1], discount)
    assert {name: metrics[name] for name in ("dataset", "simulated", "lists", "users", "candidates")} == {
        "dataset": "tiny-sim", "simulated": True, "lists": 3, "users": 2, "candidates": 3,
    }  # fmt: skip
    expected = {"ndcg@1": (1 / 7 + 1 + 1) / 3} | dict.fromkeys(("ndcg@3", "ndcg@5", "ndcg@10"), (worst + 2) / 3)
    # Deviations from the mean, summed by user, are the opposite of each other: 2 / 1 * 2 * d^2, its root over 3.
    expected |= {f"{name}_se": 2 * (1 - expected[name]) / 3 for name in ("ndcg@1", "ndcg@10")}
    assert metrics["by_list"] == pytest.approx(expected)
    assert table["ndcg@10"].to_pylist() == pytest.approx([worst, 1, 1])
    assert table["user"].to_pylist() == ["u", "u", "v"]
    assert table["ranked"].to_pylist() == [["e", "c", "a"], ["b", "e", "f"], ["b", "d", "c"]]
    assert table["relevance"].to_pylist() == [[1, 2, 3], [4, 2, 0], [2, 2, 1]]


def test_the_popularity_floor_by_hand() -> None:
    # Doom 0, Civ 2, Anno 2: Anno stands first in the catalogue; Braid, Doom, Elite; Anno, Civ, Braid.
    assert popular_order(lists_of(), DATASET, "test").tolist() == [[2, 1, 0], [0, 2, 1], [0, 2, 1]]
    metrics, _ = list_record(RANKED[None], lists_of(), DATASET, "test")
    last = (3 + 1 / log2(3) + 3 / 2) / (3 + 3 / log2(3) + 1 / 2)
    assert metrics["popularity_baseline"]["ndcg@3"] == pytest.approx((1 + 1 + last) / 3)


def test_ties_of_scores_do_not_hang_on_the_order_shown() -> None:
    lists = lists_of()
    order = np.random.default_rng(0).random((20, 3, 3)).argsort(axis=2)
    expected = np.take_along_axis(CANDIDATES, popular_order(lists, DATASET, "test"), 1)
    for shown in map(lists.shown, order):
        order = popular_order(shown, DATASET, "test")
        assert np.take_along_axis(shown.candidates, order, 1).tolist() == expected.tolist()


def test_scores_rank_the_highest_first() -> None:
    scores = np.array([[-1, 5, 2], [0.5, 0.25, 0.75], [3, 3, 4]], dtype=np.float32)
    assert order_by_scores(scores, lists_of(), DATASET).tolist() == [[1, 2, 0], [2, 0, 1], [2, 0, 1]]


@pytest.mark.parametrize("cutoff", [1, 3, 4, 10])
def test_chance_is_the_mean_over_all_orders(cutoff: int) -> None:
    gains = np.array([[7.0, 0, 1, 3], [31, 31, 0, 0], [1, 1, 1, 1]])
    every = [graded_ndcg(np.tile(order, (3, 1)), gains, cutoff) for order in permutations(range(4))]
    assert random_ndcg(gains, cutoff) == pytest.approx(np.mean(every, axis=0))


def test_chance_in_the_record() -> None:
    metrics, _ = list_record(RANKED[None], lists_of(), DATASET, "test")
    assert metrics["random_order"]["ndcg@1"] == pytest.approx(np.mean([11 / 3 / 7, 6 / 15, 7 / 3 / 3]))
    expected = np.mean([graded_ndcg(np.tile(order, (3, 1)), np.array(GAINS), 3) for order in permutations(range(3))])
    assert metrics["random_order"]["ndcg@10"] == pytest.approx(expected)


def test_one_user_has_no_standard_error() -> None:
    found = accuracies(RANKED, lists_of(np.array(["u", "u", "u"])))
    assert found.keys() == {"ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10"}


def test_one_order_has_no_position_sensitivity() -> None:
    metrics, table = list_record(RANKED[None], lists_of(), DATASET, "test")
    assert "position" not in metrics
    assert not {"ndcg_std", "kendall_tau"} & set(table.column_names)


def test_position_sensitivity_by_hand() -> None:
    """The second ranking reverses the first list and keeps the others."""
    other = RANKED.copy()
    other[0] = [2, 1, 0]
    metrics, table = list_record(np.stack([RANKED, other]), lists_of(), DATASET, "test")
    discount = [1, 1 / log2(3), 1 / 2]
    worst = np.dot([1, 3, 7], discount) / np.dot([7, 3, 1], discount)
    assert metrics["position"] == pytest.approx(
        {"orders": 2, "ndcg@10": ((worst + 1) / 2 + 2) / 3, "ndcg_std": (1 - worst) / 2 / 3, "kendall_tau": 1 / 3}
    )
    assert table["kendall_tau"].to_pylist() == [-1, 1, 1]
    # All other metrics are those of the stored order.
    alone, alone_table = list_record(RANKED[None], lists_of(), DATASET, "test")
    assert {name: value for name, value in metrics.items() if name != "position"} == alone
    assert table.drop_columns(["ndcg_std", "kendall_tau"]) == alone_table


def test_the_floor_counts_the_whole_of_train() -> None:
    """It counts all training rows, not the sample that language models are tuned on."""
    sample = DATASET.train.take(np.array([4]))
    dataset = Dataset("s", True, DATASET.items, DATASET.train, sample, DATASET.valid, DATASET.test, "0", {})
    orders = [popular_order(lists_of(), each, "test").tolist() for each in (dataset, DATASET)]
    assert orders[0] == orders[1]


def test_for_test_the_floor_counts_what_was_held_out_of_the_train_file() -> None:
    # Braid is a target three times in validation: 4 in all.
    dataset = replace(DATASET, valid=rows_of(*[([2], 1)] * 3), valid_held_out=True)
    assert popular_order(lists_of(), dataset, "valid").tolist() == [[2, 1, 0], [0, 2, 1], [0, 2, 1]]
    assert popular_order(lists_of(), dataset, "test").tolist() == [[2, 1, 0], [0, 2, 1], [1, 0, 2]]
    floors = [
        list_record(RANKED[None], lists_of(), dataset, split)[0]["popularity_baseline"] for split in ("valid", "test")
    ]
    # The third list's gains are 3, 3, 1 as it stands: Braid and then Anno are the best order.
    assert [floor["ndcg@1"] for floor in floors] == pytest.approx([1, 1])
    assert floors[0]["ndcg@3"] < floors[1]["ndcg@3"] == pytest.approx(1)
