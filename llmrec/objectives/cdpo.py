"""cDPO: DPO with label smoothing; every pair is mislabeled with the same probability.

Source: E. Mitchell, "A note on DPO with noisy preferences" (2023).
"""

from torch import Tensor

from llmrec.objectives.preference import Pairwise, Scores
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import PositiveFloat, PositiveInt, ProbabilityBelowOne


class CDPO(Pairwise):
    """DPO with one label-smoothing factor for all pairs.

    Args:
        rejected: See `Preference`.
        smoothing: eps, the probability that a pair is mislabeled, from 0 to below 1.
        beta: See `Preference`.
        scores: See `Preference`.
        learning_rate_factor: See `Preference`.
        max_epochs: See `Preference`.
    """

    def __init__(
        self,
        rejected: Rejected,
        smoothing: ProbabilityBelowOne = 0.1,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, max_epochs)
        self.eps = smoothing

    def smoothing(self, example: Tensor) -> Tensor:
        return self.reference.new_full((), self.eps)
