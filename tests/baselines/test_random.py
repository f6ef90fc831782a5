"""The random baseline: excluded titles, and new random numbers in each call."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.baselines.base import Fitting
from llmrec.baselines.random import SCORING_BATCH_ROWS, Random
from llmrec.datasets.dataset import Rows
from tests.evaluation.small import DATASET, TEST, rows_of

MANY = rows_of(*[([row % 5, 5], 0) for row in range(SCORING_BATCH_ROWS + 50)])
"""More rows than one scoring batch holds."""


def opened(seed: int = 0) -> Random:
    """Returns a fitted baseline, as a run opens it."""
    baseline = Random(seed)
    baseline.load(Path(), DATASET)
    return baseline


def scores_of(baseline: Random, rows: Rows) -> np.ndarray:
    return np.concatenate(list(baseline.title_scores(rows, "test")))


@pytest.mark.parametrize("rows", [TEST, MANY], ids=["few", "many"])
def test_it_ranks_every_title_but_those_of_the_history(rows: Rows) -> None:
    told: list[int] = []
    titles, scores = opened().rank(rows, "test", 6, exclude_history=True, progress=told.append)
    assert (titles.dtype, scores.dtype) == (np.int32, np.float32)
    for row, ranked in enumerate(titles.tolist()):
        seen = set(DATASET.items.title_of[rows.history_of(row)].tolist())
        kept = 5 - len(seen)
        assert set(ranked[:kept]) == set(range(5)) - seen
        assert ranked[kept:] == [-1] * (6 - kept)
        assert (np.diff(scores[row, :kept]) <= 0).all()
        assert (scores[row, kept:] == -np.inf).all()
    assert sum(told) == len(rows)


def test_the_best_of_its_scores_come_first() -> None:
    scores = scores_of(opened(), MANY)
    titles, best = opened().rank(MANY, "test", 2, exclude_history=False)
    assert titles.tolist() == np.argsort(-scores, axis=1)[:, :2].tolist()
    assert best.tolist() == np.take_along_axis(scores, titles.astype(np.int64), axis=1).tolist()


def test_each_call_draws_anew_and_what_is_opened_again_draws_the_same() -> None:
    one, other = opened(), opened()
    first, second = scores_of(one, MANY), scores_of(one, MANY)
    assert first.shape == (len(MANY), 5)
    assert (first != second).any(axis=1).all()
    assert [scores_of(other, MANY).tolist() for _ in range(2)] == [first.tolist(), second.tolist()]
    assert scores_of(opened(seed=1), MANY).tolist() != first.tolist()


def test_every_title_is_as_likely_to_come_first() -> None:
    rows = rows_of(*[([], 0)] * 4000)
    titles, _ = opened().rank(rows, "test", 1, exclude_history=True)
    # Five standard deviations of a binomial count.
    assert np.bincount(titles[:, 0], minlength=5) == pytest.approx(np.full(5, 800), abs=5 * (800 * 0.8) ** 0.5)


def test_fitting_learns_nothing(tmp_path: Path) -> None:
    baseline = Random()
    fitting = Fitting(0, "cpu", tmp_path / "fit.ckpt", lambda values, step: None, progress=False)
    assert baseline.fit(DATASET, fitting) == {}
    baseline.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert scores_of(baseline, TEST).tolist() == scores_of(opened(), TEST).tolist()
