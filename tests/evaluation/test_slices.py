"""Slices of the evaluated users, worked out by hand and against the published counts of the real sets."""

import json

import numpy as np
import pytest

from llmrec.evaluation.slices import by_slice, slices
from tests.evaluation.real import read_real
from tests.evaluation.small import ITEMS, TEST, TRAIN, rows_of


def test_masks() -> None:
    masks = slices(TEST, TRAIN, ITEMS)
    # Targets of the four test rows: item 3 (a target once), 2 (twice), 5 (never seen), 1 (once).
    assert masks["warm"].tolist() == [True, True, False, True]
    assert masks["cold"].tolist() == [False, False, True, False]
    assert masks["repeated"].tolist() == [False, True, False, False]
    assert masks["new"].tolist() == [True, False, True, True]
    assert masks["history_1-3"].tolist() == [True, True, False, True]
    assert masks["history_10+"].tolist() == [False, False, True, False]
    assert masks["popularity_0"].tolist() == [False, False, True, False]
    assert masks["popularity_1-4"].tolist() == [True, True, False, True]


def test_an_item_only_seen_in_histories_is_warm_but_was_never_a_target() -> None:
    masks = slices(rows_of(([0], 4)), rows_of(([4], 1)), ITEMS)
    assert masks["warm"].tolist() == [True]
    assert masks["popularity_0"].tolist() == [True]


def test_bins_meet_without_gap_or_overlap() -> None:
    train = rows_of(*[([0], 1)] * 4, *[([0], 2)] * 5, *[([0], 3)] * 19, *[([0], 4)] * 20)
    rows = rows_of(*[([0] * length, target) for length in range(1, 12) for target in range(6)])
    masks = slices(rows, train, ITEMS)
    for family in ("history_", "popularity_"):
        assert (sum(mask.astype(int) for name, mask in masks.items() if name.startswith(family)) == 1).all()
    targets = {name: set(rows.target[mask]) for name, mask in masks.items()}
    assert [targets[f"popularity_{bin}"] for bin in ("0", "1-4", "5-19", "20+")] == [{0, 5}, {1}, {2, 3}, {4}]
    lengths = {name: set(np.diff(rows.offsets)[mask]) for name, mask in masks.items()}
    assert lengths["history_1-3"] == {1, 2, 3}
    assert lengths["history_4-6"] == {4, 5, 6}
    assert lengths["history_7-9"] == {7, 8, 9}
    assert lengths["history_10+"] == {10, 11}


def test_an_empty_slice_has_a_count_and_no_metrics() -> None:
    masks = {"all": np.array([True, True]), "none": np.array([False, False])}
    measured = by_slice(np.array([1, 0]), np.array([0, 0]), masks, list_length=10)
    assert measured["none"] == {"rows": 0, "users": 0}
    assert (measured["all"]["rows"], measured["all"]["users"]) == (2, 1)
    assert measured["all"]["hr@1"] == 1 / 2
    json.dumps(measured, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "train", "cold", "never_target"),
    [
        pytest.param("books", "train", 0.64, 0.65, marks=pytest.mark.real_data("books")),
        pytest.param("office", "train", 0.47, 0.51, marks=pytest.mark.real_data("office")),
        pytest.param("games", "train_10000", 0.34, 0.57, marks=pytest.mark.real_data("games")),
    ],
)
def test_cold_share_of_the_real_sets(name: str, train: str, cold: float, never_target: float) -> None:
    items, test = read_real(name, "test")
    masks = slices(test, read_real(name, train)[1], items)
    assert round(masks["cold"].mean(), 2) == cold
    assert round(masks["popularity_0"].mean(), 2) == never_target


@pytest.mark.real_data("games")
def test_repeated_targets_of_games() -> None:
    items, test = read_real("games", "test")
    assert slices(test, test, items)["repeated"].sum() == 164
