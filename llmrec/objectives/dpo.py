"""DPO: direct preference optimization with one rejected title per target (arXiv 2305.18290)."""

from torch import Tensor

from llmrec.objectives.preference import Pairwise, Scores
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import PositiveFloat, PositiveInt


class DPO(Pairwise):
    """The DPO loss -log sigma(r(target) - r(rejected)). See `Preference` for the rewards r and the arguments."""

    def __init__(
        self,
        rejected: Rejected,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, max_epochs)

    def smoothing(self, example: Tensor) -> Tensor:
        return self.reference.new_zeros(())
