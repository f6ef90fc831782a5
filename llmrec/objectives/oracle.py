"""The preference oracle of RosePO: estimates label noise of pairs with a conventional recommender."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from llmrec.backbones.array_cache import cached_array
from llmrec.baselines.sasrec import SASRec
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import PositiveFloat, PositiveInt, ProbabilityBelowOne


class SASRecOracle:
    """Estimates eps, the probability that a pair is mislabeled, with SASRec models fitted to the training split.

    eps = min(sigma((f(user, rejected) - f(user, chosen)) / temperature), cap), where f are SASRec's scores. With
    cross-fitting, the scores of a row come from a model that was fitted without the rows of its user: a model that was
    fitted to the row itself nearly always prefers the chosen title. Source: a preference oracle is from the abstract of
    arXiv 2410.12519; SASRec, the formula, the cap, the default for unseen titles and cross-fitting are our reading.

    Args:
        temperature: Divides the difference of scores.
        cap: Upper limit of eps.
        unseen: eps of a pair with a title that does not occur in the rows that its SASRec was fitted to.
        folds: Number of groups of users for cross-fitting. 1 takes the oracle as it is, fitted to all rows; if it was
            fitted twice, the fit without validation rows.
    """

    def __init__(
        self,
        temperature: PositiveFloat = 5.0,
        cap: ProbabilityBelowOne = 0.5,
        unseen: ProbabilityBelowOne = 0.0,
        folds: PositiveInt = 5,
    ) -> None:
        self.temperature, self.cap, self.unseen, self.folds = temperature, cap, unseen, folds

    def smoothing(self, preparation: Preparation, rejected: np.ndarray) -> np.ndarray:
        """Estimates eps for each row of the training sample and its rejected title.

        Args:
            preparation: See `Objective.prepare`; the oracle must be a SASRec.
            rejected: The rejected title of each row, int [rows].

        Returns:
            float32 [rows].

        Raises:
            InputError: If the run's oracle is not a SASRec, or there are fewer users than folds.
        """
        sasrec, data = self.opened(preparation), preparation.catalogue
        titles = np.stack([data.sample_titles.astype(np.int64), rejected])
        if self.folds == 1:
            advantage, known = _judged(sasrec, data.sample.rows, titles)
        else:
            advantage, known = self._cross_fitted(preparation, titles)
        # At +-60 the sigmoid is within 1e-26 of 0 or 1; larger values would only overflow exp.
        eps = np.minimum(1 / (1 + np.exp(-np.clip(advantage / self.temperature, -60, 60))), self.cap)
        self.described = {"folds": self.folds} | _describe(eps, known, self.cap)
        return np.where(known, eps, self.unseen).astype(np.float32)

    def opened(self, preparation: Preparation) -> SASRec:
        """Opens the fitted SASRec.

        Raises:
            InputError: If the run names no oracle or one that is not a SASRec.
        """
        baseline = preparation.open_oracle()
        if isinstance(baseline, SASRec):
            return baseline
        raise InputError(
            "objective.oracle=sasrec needs a SASRec baseline as stage.oracle. Use stage=sft_and_oracle, the default of "
            "objective=rosepo, or an objective without an oracle (dpo, cdpo)."
        )

    def report(self) -> dict[str, Any]:
        """Returns a summary for training.json.

        Mean, share at the cap and histogram of eps are over pairs of two known titles; unknown_share is the share of
        all pairs that have a title unknown to SASRec.
        """
        return {"smoothing": self.described}

    def _cross_fitted(self, preparation: Preparation, titles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `_judged` does, each row judged by the model of its fold."""
        dataset, rows = preparation.catalogue.dataset, preparation.catalogue.sample.rows
        fold = user_folds(dataset.train.user, self.folds, preparation.seed)
        folds = np.array([fold[user] for user in rows.user.tolist()])

        def judge(numbers: np.ndarray) -> np.ndarray:
            judged = np.zeros((len(numbers), 2, len(rows)))
            for place, number in enumerate(numbers):
                held_out = np.flatnonzero(folds == number)
                sasrec = preparation.fit_oracle(_without_users(dataset, fold, number))
                assert isinstance(sasrec, SASRec)
                judged[place][:, held_out] = _judged(sasrec, rows.take(held_out), titles[:, held_out])
            return judged

        identity = hashlib.sha256(repr((preparation.oracle_key, self.folds, preparation.seed)).encode())
        for array in (titles, folds, rows.history, rows.offsets):
            identity.update(np.ascontiguousarray(array, dtype=np.int64).tobytes() + b"|")
        advantage, known = cached_array(
            preparation.cache_dir / "oracle", identity.hexdigest(), titles.shape,
            lambda: map_across_ranks(self.folds, judge).sum(axis=0), "oracle",
        )  # fmt: skip
        return advantage, known.astype(bool)


def user_folds(users: np.ndarray, folds: int, seed: int) -> dict[str, int]:
    """Divides users at random into folds whose sizes differ by at most one.

    Raises:
        InputError: If there are fewer users than folds.
    """
    distinct = sorted(set(users.tolist()))
    if len(distinct) < folds:
        raise InputError(
            f"objective.oracle.folds={folds}: the training split has {len(distinct)} users. Set it to at most as many, "
            "or to 1 for an oracle without cross-fitting"
        )
    fold = np.random.default_rng([seed, folds]).permutation(len(distinct)) % folds
    return dict(zip(distinct, fold.tolist(), strict=True))


def _without_users(dataset: Dataset, fold: dict[str, int], number: int) -> Dataset:
    """Returns the dataset without the training rows of a fold's users, and without a second fit for test."""
    train, sample = (
        rows.take(np.array([fold[user] != number for user in rows.user.tolist()]))
        for rows in (dataset.train, dataset.sample)
    )
    return replace(dataset, train=train, sample=sample, valid_held_out=False)


def _judged(sasrec: SASRec, rows: Rows, titles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns f(user, rejected) - f(user, chosen), float64 [rows], and whether SASRec knows both titles, bool [rows].

    titles: int [2, rows], chosen and rejected.
    """
    advantage = np.concatenate([np.zeros(0), *_advantages(sasrec, rows, titles)])
    return advantage, sasrec.seen_titles[titles].all(axis=0)


def _advantages(sasrec: SASRec, rows: Rows, titles: np.ndarray) -> Iterator[np.ndarray]:
    start = 0
    for scores in sasrec.title_scores(rows, "valid"):
        chosen, rejected = titles[:, start : start + len(scores)]
        row = np.arange(len(scores))
        yield scores[row, rejected].astype(np.float64) - scores[row, chosen]
        start += len(scores)


def _describe(eps: np.ndarray, known: np.ndarray, cap: float) -> dict[str, Any]:
    of_known = eps[known]
    counts, edges = np.histogram(of_known, bins=10, range=(0, max(cap, 1e-9)))
    return {
        "pairs": len(eps),
        "unknown_share": float(1 - known.mean()),
        "mean": float(of_known.mean()) if len(of_known) else None,
        "share_at_cap": float((of_known >= cap).mean()) if len(of_known) else None,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
