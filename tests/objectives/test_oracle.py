"""The oracle's eps: worked out by hand from SASRec's scores, capped, with a default for unknown titles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec.baselines.sasrec import SASRec
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.objectives.oracle import SASRecOracle, user_folds
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rosepo import RosePO
from tests.datasets.layouts import rows
from tests.invariants.world import ROWS, build_world, fitted_oracle, preparation_of, small_dataset
from tests.settings.refusal import refusal

REJECTED = np.array([8, 0, 1, 2, 9, 10, 5, 7])


def test_eps_is_how_far_the_rejected_title_is_ahead(tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path)
    eps = SASRecOracle(temperature=2.0, cap=0.999, folds=1).smoothing(preparation, REJECTED)
    score = scores(preparation)
    row, chosen = np.arange(len(ROWS)), preparation.catalogue.sample_titles
    expected = 1 / (1 + np.exp(-(score[row, REJECTED] - score[row, chosen]) / 2))
    np.testing.assert_allclose(eps, np.where(known(preparation), expected, 0), rtol=1e-5)
    # SASRec has overfitted these rows, so the targets have higher scores.
    assert (eps < 0.5).all()


def test_eps_is_capped_and_said_so(tmp_path: Path) -> None:
    oracle = SASRecOracle(cap=0.3, folds=1)
    chosen = preparation_of(tmp_path).data.sample_titles
    backwards = replace(preparation_of(tmp_path))
    backwards.data.sample_titles = REJECTED
    eps = oracle.smoothing(backwards, chosen.astype(np.int64))
    assert eps.max() == pytest.approx(0.3)
    described = oracle.report()["smoothing"]
    assert described["share_at_cap"] > 0.5
    assert sum(described["histogram"]["counts"]) == round((1 - described["unknown_share"]) * described["pairs"])
    assert described["histogram"]["edges"][-1] == pytest.approx(0.3)


def test_each_row_is_judged_by_a_model_fitted_without_its_user(tmp_path: Path) -> None:
    preparation, fitted = preparation_of(tmp_path), []

    def fit(dataset: Dataset) -> object:
        fitted.append(set(dataset.train.user.tolist()))
        assert set(dataset.sample.user.tolist()) == fitted[-1]
        assert not dataset.valid_held_out
        return fitted_oracle(dataset)()

    eps = SASRecOracle(temperature=2.0, cap=0.999, folds=4).smoothing(replace(preparation, fit_oracle=fit), REJECTED)
    users = set(ROWS.user.tolist())
    held_out = [users - kept for kept in fitted]
    assert sorted(len(fold) for fold in held_out) == [2, 2, 2, 2]
    assert set.union(*held_out) == users
    for fold, kept in zip(held_out, fitted, strict=True):
        dataset = preparation.catalogue.dataset
        without = ROWS.take(np.array([user in kept for user in ROWS.user.tolist()]))
        sasrec = fitted_oracle(replace(dataset, train=without, sample=without))()
        assert isinstance(sasrec, SASRec)
        for row in np.flatnonzero([user in fold for user in ROWS.user.tolist()]):
            (score,) = sasrec.title_scores(ROWS.take(np.array([row])), "valid")
            chosen = preparation.catalogue.sample_titles[row]
            is_known = sasrec.seen_titles[[chosen, REJECTED[row]]].all()
            expected = 1 / (1 + np.exp(-(score[0, REJECTED[row]] - score[0, chosen]) / 2))
            assert eps[row] == pytest.approx(expected if is_known else 0, rel=1e-4)


def test_cross_fitting_is_read_from_the_cache(tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path)
    first = SASRecOracle(folds=2).smoothing(preparation, REJECTED)

    def refuse(dataset: Dataset) -> object:
        raise AssertionError("fitted again")

    again = SASRecOracle(folds=2).smoothing(replace(preparation, fit_oracle=refuse), REJECTED)
    np.testing.assert_array_equal(first, again)


def test_more_folds_than_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"objective\.oracle\.folds=9: the training split has 8 users\. Set it to at"):
        SASRecOracle(folds=9).smoothing(preparation_of(tmp_path), REJECTED)


def test_folds_are_of_equal_size_and_follow_the_seed() -> None:
    users = np.array([f"u{number}" for number in range(11)] * 3, dtype=object)
    fold = user_folds(users, 5, seed=1)
    assert sorted(np.bincount(list(fold.values())).tolist()) == [2, 2, 2, 2, 3]
    assert fold == user_folds(users[::-1], 5, seed=1)
    assert fold != user_folds(users, 5, seed=2)


def test_titles_that_it_does_not_know_take_the_default(tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path)
    fewer = replace(small_dataset(), train=rows(("a", [0], 1, 1), ("b", [2, 3], 6, 2)))
    oracle = SASRecOracle(unseen=0.07, folds=1)
    eps = oracle.smoothing(replace(preparation, open_oracle=fitted_oracle(fewer)), np.full(len(ROWS), 3))
    # Titles 0 to 3 and 6 are known: of the targets, those of rows 0, 1 and 4.
    assert (eps == np.float32(0.07)).tolist() == [False, False, True, True, False, True, True, True]
    assert oracle.report()["smoothing"]["unknown_share"] == pytest.approx(5 / 8)


def test_rosepo_smooths_each_pair_by_its_own_eps(tmp_path: Path) -> None:
    world = build_world(("rosepo", "objective/rejected=uniform"), tmp_path)
    objective = world.objective
    assert isinstance(objective, RosePO)
    expected = SASRecOracle().smoothing(world.preparation, objective.titles[:, 0])
    np.testing.assert_array_equal(objective.eps.numpy(), expected)
    assert {"rejected", "smoothing"} <= objective.report().keys()


def test_a_run_without_an_oracle_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Use stage=sft_and_oracle"):
        SASRecOracle().smoothing(replace(preparation_of(tmp_path), open_oracle=lambda: None), REJECTED)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0}, "objective.oracle.temperature=0: give a number above 0"),
        ({"cap": 1.0}, "objective.oracle.cap=1.0: give a number from 0 to below 1"),
        ({"unseen": -0.1}, "objective.oracle.unseen=-0.1: give a number from 0 to below 1"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, float], says: str) -> None:
    assert refusal(SASRecOracle, settings, "objective.oracle") == says


def scores(preparation: Preparation) -> np.ndarray:
    """Returns the scores of the oracle's SASRec, float [rows, titles]."""
    return np.concatenate(list(sasrec_of(preparation).title_scores(ROWS, "valid"))).astype(np.float64)


def known(preparation: Preparation) -> np.ndarray:
    """Returns whether both the rejected title and the target are known, bool [rows]."""
    seen = sasrec_of(preparation).seen_titles
    return seen[REJECTED] & seen[preparation.catalogue.dataset.items.title_of[ROWS.target]]


def sasrec_of(preparation: Preparation) -> SASRec:
    """Returns the run's oracle, opened."""
    assert preparation.open_oracle is not None
    sasrec = preparation.open_oracle()
    assert isinstance(sasrec, SASRec)
    return sasrec
