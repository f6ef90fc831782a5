"""The ItemKNN baseline, checked against similarities and scores computed by hand."""

from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.baselines.base import Fitting
from llmrec.baselines.itemknn import ItemKNN, Neighbours, find_neighbours
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from tests.evaluation.small import DATASET, ITEMS, TEST, TRAIN, rows_of
from tests.settings.refusal import refusal

ANNO, BRAID, CIV, DOOM, ELITE = range(5)
"""Distinct titles; Anno is that of two items. In TRAIN, every row is of another user:

Anno u2 u3 u4, Braid u0 u2 u4, Civ u0 u1 u2 u3, Doom u1, Elite nobody.
"""
ANNO_BRAID = 2 / (sqrt(3) * sqrt(3))
ANNO_CIV = BRAID_CIV = 2 / (sqrt(3) * sqrt(4))
CIV_DOOM = 1 / (sqrt(4) * sqrt(1))


def fitted(dataset: Dataset = DATASET, **settings: Any) -> ItemKNN:
    baseline = ItemKNN(**settings)
    baseline.fit(dataset, Fitting(0, "cpu", Path(), lambda values, step: None, progress=False))
    return baseline


def listed(neighbours: Neighbours) -> list[dict[int, float]]:
    """Returns the neighbours of each title with their similarities, in order."""
    pairs = zip(neighbours.titles, neighbours.similarities, strict=True)
    return [dict(zip(titles.tolist(), similarities.tolist(), strict=True)) for titles, similarities in pairs]


def scores_of(baseline: ItemKNN, rows: Rows = TEST, split: str = "test") -> np.ndarray:
    scores = np.concatenate(list(baseline.title_scores(rows, split)))
    assert scores.dtype == np.float32
    return scores


def test_similarities_by_hand() -> None:
    # Civ is as similar to Anno as to Braid, so Anno, the first in the catalogue, comes first.
    expected = [
        {BRAID: ANNO_BRAID, CIV: ANNO_CIV},
        {ANNO: ANNO_BRAID, CIV: BRAID_CIV},
        {ANNO: ANNO_CIV, BRAID: BRAID_CIV, DOOM: CIV_DOOM},
        {CIV: CIV_DOOM},
        {},
    ]
    found = listed(fitted().selected)
    assert found == [pytest.approx(neighbours) for neighbours in expected]
    assert [list(neighbours) for neighbours in found] == [list(neighbours) for neighbours in expected]


def test_four_items_whose_similarities_are_fractions() -> None:
    # Users of w: 1 2 3 4; of x: 1; of y: 1 2 3 5; of z: 4.
    items = Items(ids=list("wxyz"), titles=list("WXYZ"))
    train = rows_of(([0, 1], 2), ([0], 2), ([2], 0), ([3], 0), ([], 2))
    w, x, y, z = range(4)
    plain = [{y: 3 / 4, x: 1 / 2, z: 1 / 2}, {w: 1 / 2, y: 1 / 2}, {w: 3 / 4, x: 1 / 2}, {w: 1 / 2}]
    assert listed(find_neighbours(train, items, count=100, shrink=0.0)) == plain
    # The denominators 4, 2 and 2 become 6, 4 and 4.
    shrunk = [{y: 3 / 6, x: 1 / 4, z: 1 / 4}, {w: 1 / 4, y: 1 / 4}, {w: 3 / 6, x: 1 / 4}, {w: 1 / 4}]
    assert listed(find_neighbours(train, items, count=100, shrink=2.0)) == shrunk


def test_scores_by_hand() -> None:
    # Histories: Braid Civ; Civ Doom; Anno twelve times, which counts once; Doom. A title is no neighbour of itself.
    expected = [
        [ANNO_BRAID + ANNO_CIV, BRAID_CIV, BRAID_CIV, CIV_DOOM, 0],
        [ANNO_CIV, BRAID_CIV, CIV_DOOM, CIV_DOOM, 0],
        [0, ANNO_BRAID, ANNO_CIV, 0, 0],
        [0, 0, CIV_DOOM, 0, 0],
    ]
    assert scores_of(fitted()) == pytest.approx(np.array(expected))


def test_shrinkage_moves_rare_titles_down() -> None:
    # History: Civ. Anno shares 2 users with it and Doom 1.
    for shrink, anno, doom in ((0.0, 2 / sqrt(12), 1 / 2), (2.0, 2 / (sqrt(12) + 2), 1 / 4)):
        scores = scores_of(fitted(shrink=shrink), rows_of(([2], 0)))
        assert scores == pytest.approx(np.array([[anno, anno, 0, doom, 0]]))


def test_only_the_nearest_titles_of_the_history_have_a_score() -> None:
    # Civ keeps Anno, since it comes before the equally similar Braid, and loses Doom; Doom keeps Civ.
    assert [list(neighbours) for neighbours in listed(fitted(neighbours=1).selected)] == [
        [BRAID], [ANNO], [ANNO], [CIV], []
    ]  # fmt: skip
    scores = scores_of(fitted(neighbours=1), rows_of(([2], 0), ([2, 4], 0)))
    assert scores == pytest.approx(np.array([[ANNO_CIV, 0, 0, 0, 0], [ANNO_CIV, 0, CIV_DOOM, 0, 0]]))


def test_equal_scores_follow_the_catalogue() -> None:
    titles, scores = fitted().rank(TEST, "test", 6, exclude_history=False)
    assert (titles.dtype, scores.dtype) == (np.int32, np.float32)
    assert titles.tolist() == [
        [ANNO, BRAID, CIV, DOOM, ELITE, -1],
        [ANNO, BRAID, CIV, DOOM, ELITE, -1],
        [BRAID, CIV, ANNO, DOOM, ELITE, -1],
        [CIV, ANNO, BRAID, DOOM, ELITE, -1],
    ]
    assert scores[3].tolist() == [CIV_DOOM, 0, 0, 0, 0, -np.inf]


def test_equal_sums_are_equal_in_any_order_of_their_terms() -> None:
    # In float32, 0.1 + 0.7 + 0.9 is more than 0.9 + 0.7 + 0.1.
    near = Neighbours(
        [np.array([DOOM, ELITE])] * 3,
        [np.array(pair, dtype=np.float32) for pair in ([0.9, 0.1], [0.7, 0.7], [0.1, 0.9])],
    )
    scores = near.scores(rows_of(([0, 1, 2], 0)), ITEMS)
    assert scores[0, DOOM] == scores[0, ELITE]


@pytest.mark.parametrize("history", [[5], []], ids=["a title that nobody has", "no history"])
def test_without_neighbours_the_catalogue_is_ranked_in_its_order(history: list[int]) -> None:
    rows = rows_of((history, 0))
    assert not scores_of(fitted(), rows).any()
    assert fitted().rank(rows, "test", 3, exclude_history=False)[0].tolist() == [[ANNO, BRAID, CIV]]


def test_titles_of_the_history_are_left_out_and_the_next_move_up() -> None:
    # Anno as item a, which leaves out item d's equal title too.
    titles, scores = fitted().rank(TEST, "test", 4, exclude_history=True)
    assert titles.tolist() == [
        [ANNO, DOOM, ELITE, -1], [ANNO, BRAID, ELITE, -1], [BRAID, CIV, DOOM, ELITE], [CIV, ANNO, BRAID, ELITE],
    ]  # fmt: skip
    assert scores[2].tolist() == pytest.approx([ANNO_BRAID, ANNO_CIV, 0, 0])


def test_a_user_with_overlapping_windows_counts_once() -> None:
    whole = [([1, 2], 0), ([4], 2)]
    windows = rows_of(([1], 2), ([1, 2], 0), ([4], 2))
    windows = replace(windows, user=np.array(["u0", "u0", "u1"]))
    found = [listed(find_neighbours(rows, ITEMS, 100, 0.0)) for rows in (rows_of(*whole), windows)]
    assert found[0] == found[1]
    # Users of Braid: u0; of Civ: u0 u1.
    assert found[0][BRAID] == pytest.approx({ANNO: 1, CIV: 1 / sqrt(2)})


def test_all_items_of_a_title_are_one() -> None:
    # One user has items a and d, both called Anno; another has d alone.
    found = listed(find_neighbours(rows_of(([0, 3], 1), ([3], 2)), ITEMS, 100, 0.0))
    assert found[ANNO] == pytest.approx({BRAID: 1 / sqrt(2), CIV: 1 / sqrt(2)})


def test_rows_are_scored_the_same_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores_of(fitted())
    monkeypatch.setattr("llmrec.baselines.itemknn.SCORING_BATCH_ROWS", 3)
    assert scores_of(fitted()).tolist() == whole.tolist()
    reported: list[int] = []
    titles, _ = fitted().rank(TEST, "test", 2, exclude_history=False, progress=reported.append)
    assert titles.tolist() == np.argsort(-whole, axis=1, kind="stable")[:, :2].tolist()
    assert reported == [3, 1]


def test_the_sample_alone_can_be_fitted_to() -> None:
    sample = TRAIN.take(np.array([2]))
    baseline = fitted(replace(DATASET, sample=sample), rows="sample")
    assert listed(baseline.selected)[CIV] == pytest.approx({ANNO: 1, BRAID: 1})
    assert baseline.final is baseline.selected


@pytest.mark.parametrize("held_out", [True, False])
def test_test_is_ranked_by_all_of_the_train_file_and_validation_without_its_own_rows(
    held_out: bool, tmp_path: Path
) -> None:
    # The row of validation is of a user of its own, the only one of Elite and the second one of Doom.
    valid = replace(rows_of(([5], 4)), user=np.array(["u9"]))
    dataset = replace(DATASET, valid=valid, valid_held_out=held_out)
    baseline, opened = fitted(dataset), ItemKNN()
    baseline.save(tmp_path)
    opened.load(tmp_path, dataset)
    history = rows_of(([5], 0))
    for each in (baseline, opened):
        assert not scores_of(each, history, "valid").any()
        doom = 1 / sqrt(2) if held_out else 0
        assert scores_of(each, history, "test") == pytest.approx(np.array([[0, 0, 0, doom, 0]]))
        assert scores_of(each, TEST, "valid").tolist() == scores_of(fitted()).tolist()


def test_no_training_rows_no_neighbours() -> None:
    assert listed(fitted(replace(DATASET, train=rows_of())).selected) == [{}] * 5


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "selected.safetensors").write_text("[1", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot read .*selected\.safetensors.*Fit it again"):
        ItemKNN().load(tmp_path, DATASET)


def test_another_catalogue_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    other = replace(DATASET, items=Items(ids=list("ab"), titles=["Anno", "Braid"]))
    with pytest.raises(InputError, match=r"belongs to another catalogue, of 5 titles instead of 2\. Use the dataset"):
        ItemKNN().load(tmp_path, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": "all"}, "baseline.rows=all: choose one of full, sample"),
        ({"neighbours": 0}, "baseline.neighbours=0: give a whole number of at least 1"),
        ({"shrink": -1.0}, "baseline.shrink=-1.0: give a number of at least 0"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    assert refusal(ItemKNN, settings, "baseline") == message
