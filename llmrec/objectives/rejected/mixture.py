"""A stated blend of the strategies: each row takes one of them."""

from collections.abc import Mapping

import numpy as np

from llmrec.objectives.base import Preparation
from llmrec.objectives.rejected.base import Rejected

SHARES = {"self_hard": 0.5, "semantic": 0.25, "popularity": 0.25}


class Mixture(Rejected):
    """Each row's strategy is drawn by `shares`, which sum to 1. Source: ours."""

    def __init__(
        self, self_hard: Rejected, semantic: Rejected, popularity: Rejected, shares: Mapping[str, float] = SHARES
    ) -> None:
        self.samplers = {"self_hard": self_hard, "semantic": semantic, "popularity": popularity}
        valid = shares.keys() == self.samplers.keys() and min(shares.values()) >= 0
        if not valid or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(
                f"objective.rejected.shares={dict(shares)}: give one share of at least 0 for each of "
                f"{', '.join(self.samplers)}; they sum to 1"
            )
        self.shares = dict(shares)

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """As Rejected.sample."""
        generator = np.random.default_rng([preparation.seed, 3])
        probabilities = [self.shares[name] for name in self.samplers]
        drawn = generator.choice(len(self.samplers), len(rows), p=probabilities)
        found = np.zeros((len(rows), count), dtype=np.int64)
        for number, sampler in enumerate(self.samplers.values()):
            mine = drawn == number
            if mine.any():
                found[mine] = sampler.sample(preparation, rows[mine], count)
        return found
