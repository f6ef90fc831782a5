"""SimPO: preference optimization by mean log-probabilities, without a reference model (arXiv 2405.14734)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llmrec.objectives.preference import Preference, Scores
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import NonNegativeFloat, PositiveFloat, PositiveInt


class SimPO(Preference):
    """The SimPO loss -log sigma(r(target) - r(rejected) - gamma), with r = beta * log pi(title | prompt) / length.

    Source: the official code (P), where the margin is given as gamma / beta. The length counts all tokens of a title
    with its end token, whatever the scores (our reading).

    Args:
        rejected: The sampler of rejected titles.
        beta: Factor on the mean log-probabilities.
        gamma: The margin to reach between the rewards.
        scores: Normalize log-probabilities over the whole vocabulary ("vocab") or over the valid tokens ("trie").
        learning_rate_factor: Factor on trainer.learning_rate.
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    def __init__(
        self,
        rejected: Rejected,
        beta: PositiveFloat = 2.0,
        gamma: NonNegativeFloat = 0.5,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, max_epochs)
        self.gamma = gamma

    def prepare_rewards(self, preparation: Preparation) -> None:
        """Stores the lengths of the titles."""
        data = preparation.catalogue
        lengths = data.titles.lengths[np.column_stack([data.sample_titles, self.titles])]
        self.lengths = torch.from_numpy(lengths).to(preparation.backbone.device)

    def rewards(self, log_probabilities: Tensor, example: Tensor) -> Tensor:
        return self.beta * log_probabilities / self.lengths[example]

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        return functional.softplus(rewards[:, 1] + self.gamma - rewards[:, 0])
