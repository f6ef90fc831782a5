"""The popularity baseline, checked against values computed by hand and published figures of the real datasets."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.baselines.base import Fitting
from llmrec.baselines.popularity import Popularity
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.popularity import recommend_popular, target_counts
from llmrec.datasets.split import hold_out_latest
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import accuracy, title_ranks
from tests.evaluation.real import read_real
from tests.evaluation.small import ITEMS, TEST, TRAIN, rows_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite.


def test_items_of_one_title_are_summed_and_ties_follow_the_catalogue() -> None:
    # Targets: c c a d b, so Civ 2 and Anno 1 + 1, which comes first in the catalogue; Braid 1; Doom and Elite 0.
    assert target_counts(TRAIN, ITEMS).tolist() == [2, 1, 2, 0, 0]
    for k, best in ((5, [0, 2, 1, 3, 4]), (2, [0, 2])):
        assert recommend_popular(TEST, TRAIN, ITEMS, k, exclude_history=False)[0].tolist() == best


def test_everybody_is_recommended_the_same() -> None:
    recommended = recommend_popular(TEST, TRAIN, ITEMS, k=3, exclude_history=False)
    assert recommended.dtype == np.int32
    assert recommended.tolist() == [[0, 2, 1]] * 4


def test_titles_of_the_history_are_left_out_and_the_next_move_up() -> None:
    # Histories: Braid Civ; Civ Doom; Anno (as item a, which leaves out item d's equal title too); Doom.
    recommended = recommend_popular(TEST, TRAIN, ITEMS, k=3, exclude_history=True)
    assert recommended.tolist() == [[0, 3, 4], [0, 1, 4], [2, 1, 3], [0, 2, 1]]


def test_a_list_ends_where_the_catalogue_does() -> None:
    rows = rows_of(([0, 1, 2], 4), ([5], 0))
    assert recommend_popular(rows, TRAIN, ITEMS, k=6, exclude_history=False).tolist() == [[0, 2, 1, 3, 4, -1]] * 2
    left = recommend_popular(rows, TRAIN, ITEMS, k=6, exclude_history=True)
    assert left.tolist() == [[3, 4, -1, -1, -1, -1], [0, 2, 1, 3, -1, -1]]


def test_no_rows_no_recommendations() -> None:
    assert recommend_popular(rows_of(), TRAIN, ITEMS, k=3, exclude_history=True).shape == (0, 3)


@pytest.mark.parametrize("exclude_history", [False, True])
def test_the_baseline_is_the_floor_also_after_it_was_saved(exclude_history: bool, tmp_path: Path) -> None:
    dataset = Dataset("small", True, ITEMS, TRAIN, TRAIN, TEST, TEST, "0", {})
    fitted, opened = Popularity(), Popularity()
    facts = fitted.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    assert facts["fitted_rows"] == len(TRAIN)
    fitted.save(tmp_path)
    opened.load(tmp_path, dataset)
    titles, scores = opened.rank(TEST, "test", 4, exclude_history)
    assert titles.tolist() == recommend_popular(TEST, TRAIN, ITEMS, 4, exclude_history).tolist()
    assert scores[0].tolist() == [2, 2, 1, 0] or exclude_history
    assert (np.diff(scores, axis=1) <= 0).all()


def test_every_title_has_its_count_as_its_score_in_every_row(tmp_path: Path) -> None:
    dataset = Dataset("small", True, ITEMS, TRAIN, TRAIN, TEST, TEST, "0", {})
    baseline = Popularity()
    baseline.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    scores = np.concatenate(list(baseline.title_scores(TEST, "test")))
    assert scores.dtype == np.float32
    assert scores.tolist() == [[2, 1, 2, 0, 0]] * 4


def test_the_sample_alone_can_be_counted(tmp_path: Path) -> None:
    sample = TRAIN.take(np.array([2]))
    dataset = Dataset("small", True, ITEMS, TRAIN, sample, TEST, TEST, "0", {})
    baseline = Popularity(rows="sample")
    baseline.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    assert baseline.count.sum() == 1


@pytest.mark.parametrize("held_out", [True, False])
def test_test_is_ranked_by_all_of_the_train_file_and_validation_without_its_own_rows(
    held_out: bool, tmp_path: Path
) -> None:
    # Targets of validation: Doom four times, Braid once.
    valid = rows_of(*[([0], 4)] * 4, ([2], 1))
    dataset = Dataset("small", True, ITEMS, TRAIN, TRAIN, valid, TEST, "0", {}, valid_held_out=held_out)
    fitted, opened = Popularity(), Popularity()
    facts = fitted.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    assert (facts["fitted_rows"], facts["refitted"]) == (len(TRAIN), held_out)
    fitted.save(tmp_path)
    opened.load(tmp_path, dataset)
    before, after = [2, 1, 2, 0, 0], [2, 2, 2, 4, 0]
    for baseline in (fitted, opened):
        for split, counts in (("valid", before), ("test", after if held_out else before)):
            assert np.concatenate(list(baseline.title_scores(TEST, split))).tolist() == [counts] * 4
            best = [3, 0, 1] if counts == after else [0, 2, 1]
            titles, scores = baseline.rank(TEST, split, 3, exclude_history=False)
            assert titles.tolist() == [best] * 4
            assert scores[0].tolist() == [counts[title] for title in best]


def test_the_sample_stays_what_it_is_for_test(tmp_path: Path) -> None:
    sample = TRAIN.take(np.array([2]))
    dataset = Dataset("small", True, ITEMS, TRAIN, sample, TEST, TEST, "0", {}, valid_held_out=True)
    baseline = Popularity(rows="sample")
    facts = baseline.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    assert not facts["refitted"]
    assert baseline.count.tolist() == baseline.final_count.tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(("name", "content"), [("counts.json", None), ("final_counts.json", "[1")])
def test_a_file_that_cannot_be_read_is_named(name: str, content: str | None, tmp_path: Path) -> None:
    for file in ("counts.json", "final_counts.json"):
        (tmp_path / file).write_text("[1]", encoding="utf-8")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    dataset = Dataset("small", True, ITEMS, TRAIN, TRAIN, TEST, TEST, "0", {})
    with pytest.raises(InputError, match=rf"cannot read .*{name}.*Fit it again"):
        Popularity().load(tmp_path, dataset)


def test_counts_of_an_earlier_version_rank_both_splits(tmp_path: Path) -> None:
    (tmp_path / "counts.json").write_text("[3, 1]", encoding="utf-8")
    baseline = Popularity()
    baseline.load(tmp_path, Dataset("small", True, ITEMS, TRAIN, TRAIN, TEST, TEST, "0", {}))
    assert baseline.final_count.tolist() == baseline.count.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        pytest.param("books", 0.0046, marks=pytest.mark.real_data("books")),
        pytest.param("office", 0.0005, marks=pytest.mark.real_data("office")),
    ],
)
def test_floor_of_the_real_sets(name: str, floor: float, tmp_path: Path) -> None:
    # The figures are those of the whole train.csv. Books has no validation of its own: its latest tenth is held out.
    items, test = read_real(name, "test")
    whole = read_real(name, "train")[1]
    recommended = recommend_popular(test, whole, items, k=10, exclude_history=False)
    measured = accuracy(title_ranks(recommended, items.title_of[test.target]), test.user, list_length=10)
    assert round(measured["ndcg@10"], 4) == floor
    held_out = name == "books"
    kept, held = hold_out_latest(whole.timestamp, 0.1) if held_out else (np.arange(len(whole)), np.arange(0))
    train, valid = whole.take(kept), whole.take(held)
    dataset = Dataset(name, False, items, train, train, valid, test, "0", {}, valid_held_out=held_out)
    baseline = Popularity()
    baseline.fit(dataset, Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False))
    assert baseline.rank(test, "test", 10, exclude_history=False)[0].tolist() == recommended.tolist()
