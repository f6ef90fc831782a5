"""DMPO: direct multi-preference optimization against the mean of several rejected titles (arXiv 2405.16127)."""

from torch import Tensor
from torch.nn import functional

from llmrec.objectives.preference import Preference, Scores
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import PositiveFloat, PositiveInt


class DMPO(Preference):
    """The DMPO loss -log sigma(r(target) - mean_d r(d)), with d over the rejected titles.

    With one negative it is DPO. See `Preference` for the rewards r and the arguments. Source: our reading of the
    abstract; the paper's own code was not at hand.
    """

    def __init__(
        self,
        rejected: Rejected,
        negatives: PositiveInt = 3,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, negatives, scores, learning_rate_factor, max_epochs)

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        return functional.softplus(rewards[:, 1:].mean(dim=1) - rewards[:, 0])
