"""The oracle of RosePO: how likely a pair is the wrong way round, in the eyes of a conventional recommender."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmrec.baselines.sasrec import SASRec
from llmrec.errors import InputError
from llmrec.objectives.base import Preparation


class SASRecOracle:
    """eps = sigma((f(user, rejected) - f(user, chosen)) / temperature), at most `cap`; f a SASRec fitted to train.

    unseen: eps of a pair with a title that the fitted rows do not hold, of which f knows nothing. Of two fits the one
    without validation rows is asked. Source: a preference oracle, abstract of arXiv 2410.12519; SASRec, the formula,
    the cap and the default for unseen titles are our reading.
    """

    def __init__(self, temperature: float = 5.0, cap: float = 0.5, unseen: float = 0.0) -> None:
        if not temperature > 0:
            raise ValueError(f"objective.oracle.temperature={temperature}: give a number above 0")
        for name, value in (("cap", cap), ("unseen", unseen)):
            if not 0 <= value < 1:
                raise ValueError(f"objective.oracle.{name}={value}: give a probability from 0 to below 1")
        self.temperature, self.cap, self.unseen = temperature, cap, unseen

    def smoothing(self, preparation: Preparation, rejected: np.ndarray) -> np.ndarray:
        """eps of each row of the training sample against its rejected title (int [rows]): float32 [rows].

        Raises InputError when the run's oracle is no SASRec.
        """
        data, sasrec = preparation.data, self.opened(preparation)
        chosen = data.sample_titles.astype(np.int64)
        advantage = np.concatenate(list(_advantages(sasrec, preparation, np.stack([chosen, rejected]))))
        # Beyond 60 sigma is 0 or 1 in float64, and exp would only overflow.
        eps = np.minimum(1 / (1 + np.exp(-np.clip(advantage / self.temperature, -60, 60))), self.cap)
        known = sasrec.seen_titles[chosen] & sasrec.seen_titles[rejected]
        self.described = _describe(eps, known, self.cap)
        return np.where(known, eps, self.unseen).astype(np.float32)

    def opened(self, preparation: Preparation) -> SASRec:
        """The fitted SASRec. Raises InputError when the run names none."""
        if preparation.open_oracle is not None:
            found = preparation.open_oracle()
            if isinstance(found, SASRec):
                return found
        raise InputError(
            "objective.oracle=sasrec needs a SASRec as stage.oracle: take stage=sft_and_oracle, the default of "
            "objective=rosepo, or an objective without an oracle (dpo, cdpo)"
        )

    def report(self) -> dict[str, Any]:
        """For the record: mean, share at the cap and histogram of eps over pairs of known titles; share unknown."""
        return {"smoothing": self.described}


def _advantages(sasrec: SASRec, preparation: Preparation, titles: np.ndarray) -> Iterator[np.ndarray]:
    """f(user, rejected) - f(user, chosen) of successive rows; titles: int [2, rows], chosen and rejected."""
    start = 0
    for scores in sasrec.title_scores(preparation.data.sample.rows, "valid"):
        chosen, rejected = titles[:, start : start + len(scores)]
        row = np.arange(len(scores))
        yield scores[row, rejected].astype(np.float64) - scores[row, chosen]
        start += len(scores)


def _describe(eps: np.ndarray, known: np.ndarray, cap: float) -> dict[str, Any]:
    asked = eps[known]
    counts, edges = np.histogram(asked, bins=10, range=(0, max(cap, 1e-9)))
    return {
        "pairs": len(eps),
        "unknown_share": float(1 - known.mean()),
        "mean": float(asked.mean()) if len(asked) else None,
        "share_at_cap": float((asked >= cap).mean()) if len(asked) else None,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
