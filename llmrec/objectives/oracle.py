"""The preference oracle of RosePO: estimates label noise of pairs with a conventional recommender."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmrec.baselines.sasrec import SASRec
from llmrec.errors import InputError
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import PositiveFloat, ProbabilityBelowOne


class SASRecOracle:
    """Estimates eps, the probability that a pair is mislabeled, with a SASRec model fitted to the training split.

    eps = min(sigma((f(user, rejected) - f(user, chosen)) / temperature), cap), where f are SASRec's scores. If SASRec
    was fitted twice, the fit without validation rows is used. Source: a preference oracle is from the abstract of arXiv
    2410.12519; SASRec, the formula, the cap and the default for unseen titles are our reading.

    Args:
        temperature: Divides the difference of scores.
        cap: Upper limit of eps.
        unseen: eps of a pair with a title that does not occur in the rows that SASRec was fitted to.
    """

    def __init__(
        self, temperature: PositiveFloat = 5.0, cap: ProbabilityBelowOne = 0.5, unseen: ProbabilityBelowOne = 0.0
    ) -> None:
        self.temperature, self.cap, self.unseen = temperature, cap, unseen

    def smoothing(self, preparation: Preparation, rejected: np.ndarray) -> np.ndarray:
        """Estimates eps for each row of the training sample and its rejected title.

        Args:
            preparation: See `Objective.prepare`; `open_oracle` must open a fitted SASRec.
            rejected: The rejected title of each row, int [rows].

        Returns:
            float32 [rows].

        Raises:
            InputError: If the run's oracle is not a SASRec.
        """
        data, sasrec = preparation.catalogue, self.opened(preparation)
        chosen = data.sample_titles.astype(np.int64)
        advantage = np.concatenate(list(_advantages(sasrec, preparation, np.stack([chosen, rejected]))))
        # At +-60 the sigmoid is within 1e-26 of 0 or 1; larger values would only overflow exp.
        eps = np.minimum(1 / (1 + np.exp(-np.clip(advantage / self.temperature, -60, 60))), self.cap)
        known = sasrec.seen_titles[chosen] & sasrec.seen_titles[rejected]
        self.described = _describe(eps, known, self.cap)
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


def _advantages(sasrec: SASRec, preparation: Preparation, titles: np.ndarray) -> Iterator[np.ndarray]:
    """Yields f(user, rejected) - f(user, chosen), float64, for successive batches of rows.

    titles: int [2, rows], chosen and rejected.
    """
    start = 0
    for scores in sasrec.title_scores(preparation.catalogue.sample.rows, "valid"):
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
