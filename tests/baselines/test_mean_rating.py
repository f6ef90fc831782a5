"""The damped mean ratings of the mean-rating baseline, checked against values computed by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.baselines.base import Fitting
from llmrec.baselines.mean_rating import MeanRating
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.errors import InputError
from tests.evaluation.small import DATASET, TEST, rows_of
from tests.settings.refusal import refusal

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite.
TRAIN = Lists(
    rows_of(([1], 0), ([4], 2), ([2], 3)),
    np.array([4, 2, 5], dtype=np.float32),
    np.array([[0, 1, 4], [2, 5, 3], [3, 2, 1]], dtype=np.int32),
    np.array([[5, 2, 0], [4, 0, 3], [1, 5, 0]], dtype=np.float32),
)
"""Ratings: Anno 5, 3, 1; Braid 2; Civ 4, 5. Unrated negatives: Doom, Elite and once Braid. Overall mean: 10/3."""
LISTS = dict.fromkeys(("train", "valid", "test"), TRAIN) | {"sample": TRAIN.take(np.array([0]))}
RATED = replace(DATASET, lists=LISTS)


def fitted(dataset: Dataset, folder: Path, **settings: Any) -> tuple[MeanRating, dict[str, Any]]:
    """Returns the fitted baseline and its report."""
    baseline = MeanRating(**settings)
    fitting = Fitting(0, "cpu", folder / "fit.ckpt", lambda values, step: None, progress=False)
    return baseline, baseline.fit(dataset, fitting)


def scores_of(baseline: MeanRating) -> list[list[float]]:
    (scores,) = baseline.title_scores(TEST, "test")
    assert scores.dtype == np.float32
    return scores.tolist()


def test_damped_means_by_hand(tmp_path: Path) -> None:
    baseline, report = fitted(RATED, tmp_path, rows="full", damping=2.0)
    mean = 10 / 3
    expected = [(9 + 2 * mean) / 5, (2 + 2 * mean) / 3, (9 + 2 * mean) / 4, mean, mean]
    for scores in scores_of(baseline):
        assert scores == pytest.approx(expected)
    assert report == {"rows": "full", "fitted_lists": 3, "ratings": 6, "mean": pytest.approx(mean)}


def test_the_sample_is_what_it_is_fitted_to_by_default(tmp_path: Path) -> None:
    """With five ratings of the overall mean, (5 + 2) / 2."""
    baseline, report = fitted(RATED, tmp_path)
    assert scores_of(baseline)[0] == pytest.approx([(5 + 5 * 3.5) / 6, (2 + 5 * 3.5) / 6, 3.5, 3.5, 3.5])
    assert (report["rows"], report["fitted_lists"]) == ("sample", 1)


def test_the_more_damping_the_nearer_to_the_mean(tmp_path: Path) -> None:
    spreads = [np.ptp(scores_of(fitted(RATED, tmp_path, rows="full", damping=d)[0])[0]) for d in (1e-6, 1, 10, 1e6)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] == pytest.approx(4.5 - 2, abs=1e-4)
    assert spreads[-1] == pytest.approx(0, abs=1e-4)


def test_what_was_saved_gives_the_same_scores(tmp_path: Path) -> None:
    baseline, _ = fitted(RATED, tmp_path, rows="full")
    baseline.save(tmp_path)
    opened = MeanRating()
    opened.load(tmp_path, RATED)
    assert scores_of(opened) == scores_of(baseline)


@pytest.mark.parametrize("lists", [{}, dict.fromkeys(LISTS, replace(TRAIN, history_rating=None))], ids=["none", "bare"])
def test_sets_without_ratings_are_refused(lists: dict[str, Lists], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="set task=rerank and a dataset with ratings"):
        fitted(replace(RATED, lists=lists), tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    baseline, _ = fitted(RATED, tmp_path)
    (tmp_path / "means.json").write_text("[1.0,")
    with pytest.raises(InputError, match=r"cannot read .*means\.json.*Fit it again"):
        baseline.load(tmp_path, RATED)


def test_it_does_not_rank_the_catalogue(tmp_path: Path) -> None:
    baseline, _ = fitted(RATED, tmp_path)
    with pytest.raises(InputError, match="not the catalogue: set task=rerank"):
        baseline.rank(TEST, "test", 3, exclude_history=False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": "all"}, "baseline.rows=all: choose one of full, sample"),
        ({"damping": 0}, "baseline.damping=0: give a number above 0"),
        ({"damping": -1.0}, "baseline.damping=-1.0: give a number above 0"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], says: str) -> None:
    assert refusal(MeanRating, settings, "baseline") == says
