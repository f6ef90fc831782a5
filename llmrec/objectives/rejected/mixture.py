"""Samples rejected titles with a mixture of strategies: each row uses one of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import NonNegativeFloat

SHARES = {"self_hard": 0.5, "semantic": 0.25, "popularity": 0.25}


class Mixture(Rejected):
    """Draws the strategy of each row at random. Source: ours, not RosePO.

    Args:
        self_hard: The sampler used with probability shares["self_hard"]; the next two likewise.
        semantic: See self_hard.
        popularity: See self_hard.
        shares: The probability of each sampler by name, 1 in sum.
    """

    def __init__(
        self,
        self_hard: Rejected,
        semantic: Rejected,
        popularity: Rejected,
        shares: Mapping[str, NonNegativeFloat] = SHARES,
    ) -> None:
        self.samplers = {"self_hard": self_hard, "semantic": semantic, "popularity": popularity}
        self.shares = dict(shares)

    @staticmethod
    def validate(settings: Mapping[str, Any]) -> None:
        """Checks that there is one share for each sampler, and that they sum to 1."""
        shares = settings["shares"]
        if shares.keys() != SHARES.keys() or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares={shares}: give one share for each of {', '.join(SHARES)}, which sum to 1")

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        generator = np.random.default_rng([preparation.seed, 3])
        probabilities = [self.shares[name] for name in self.samplers]
        strategy = generator.choice(len(self.samplers), len(rows), p=probabilities)
        found = np.zeros((len(rows), count), dtype=np.int64)
        for number, sampler in enumerate(self.samplers.values()):
            of_strategy = strategy == number
            if of_strategy.any():
                found[of_strategy] = sampler.sample(preparation, rows[of_strategy], count)
        return found
