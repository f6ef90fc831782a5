"""RosePO: preference optimisation with a smoothing per pair from an oracle (arXiv 2410.12519, TOIS 2026).

Known from the abstract and a secondary source: SFT first; a rejected-sampling strategy for helpfulness or harmlessness;
a smoothing factor for each pair from a preference oracle. The formulas are our reading.
"""

import logging
from typing import Any

import torch
from torch import Tensor

from llmrec.objectives.base import Preparation
from llmrec.objectives.oracle import SASRecOracle
from llmrec.objectives.preference import Pairwise, Scores
from llmrec.objectives.rejected.base import Rejected

logger = logging.getLogger(__name__)


class RosePO(Pairwise):
    """softplus(-u) + eps * u with an eps of each pair's own; other arguments: see Preference.

    oracle: says how likely a pair is the wrong way round.
    """

    needs_oracle = True

    def __init__(
        self,
        rejected: Rejected,
        oracle: SASRecOracle,
        beta: float = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: float = 0.1,
        most_epochs: int | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, most_epochs)
        self.oracle = oracle

    def prepare(self, preparation: Preparation) -> None:
        """Also asks the oracle for the eps of every pair; whether there is one, before the model is run."""
        self.oracle.opened(preparation)
        super().prepare(preparation)
        eps = torch.from_numpy(self.oracle.smoothing(preparation, self.titles[:, 0]))
        self.eps = eps.to(preparation.backbone.device)
        found = self.oracle.described
        logger.info(
            "oracle: mean eps %s, %s of pairs at the cap, %s with a title that it does not know",
            *("-" if found[key] is None else f"{found[key]:.3f}" for key in ("mean", "share_at_cap", "unknown_share")),
        )

    def smoothing(self, example: Tensor) -> Tensor:
        """Each pair's own eps."""
        return self.eps[example]

    def report(self) -> dict[str, Any]:
        """Rejected titles, and what the oracle said."""
        return super().report() | self.oracle.report()
