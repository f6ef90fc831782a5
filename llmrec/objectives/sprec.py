"""SPRec: self-play rounds of SFT and DPO with the model's own title as the rejected one (arXiv 2412.09243, WWW 2025).

The rounds are stages (`llmrec.training.stages`); this module has the two objectives that each of them trains with.
"""

from llmrec.objectives.dpo import DPO
from llmrec.objectives.preference import Scores
from llmrec.objectives.rejected.base import Rejected
from llmrec.objectives.sft import SFT
from llmrec.settings.types import PositiveFloat, PositiveInt


class SPRec(DPO):
    """The DPO loss of a round, with the round's SFT model as the reference. See `Preference` for the arguments.

    Source of the defaults: the official code (P).
    """

    def __init__(
        self,
        rejected: Rejected,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.067,
        max_epochs: PositiveInt | None = 1,
    ) -> None:
        super().__init__(rejected, beta, scores, learning_rate_factor, max_epochs)


class RoundSFT(SFT):
    """The SFT that starts a round, from the model of the round before.

    Source of the defaults: the official code (P).

    Args:
        learning_rate_factor: Factor on trainer.learning_rate.
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    def __init__(self, learning_rate_factor: PositiveFloat = 0.067, max_epochs: PositiveInt | None = 1) -> None:
        super().__init__()
        self.learning_rate_factor, self.max_epochs = learning_rate_factor, max_epochs
