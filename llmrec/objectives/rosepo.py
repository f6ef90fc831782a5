"""RosePO: preference optimization with a label-smoothing factor for each pair (arXiv 2410.12519, TOIS 2026).

We had access only to the abstract and a secondary source. According to these, SFT comes first, rejected titles are
sampled for helpfulness or for harmlessness, and a preference oracle gives each pair its own smoothing factor. The
formulas are our reading.
"""

import logging
from typing import Any

import torch
from torch import Tensor

from llmrec.objectives.oracle import SASRecOracle
from llmrec.objectives.preference import Pairwise, Scores
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import Rejected
from llmrec.settings.types import PositiveFloat, PositiveInt

logger = logging.getLogger(__name__)


class RosePO(Pairwise):
    """The loss softplus(-u) + eps * u with a separate eps for each pair. See `Pairwise` for u.

    Args:
        rejected: See `Preference`.
        oracle: Estimates eps, the probability that a pair is mislabeled (label noise).
        beta: See `Preference`.
        scores: See `Preference`.
        learning_rate_factor: See `Preference`.
        max_epochs: See `Preference`.
    """

    needs_oracle = True

    def __init__(
        self,
        rejected: Rejected,
        oracle: SASRecOracle,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, max_epochs)
        self.oracle = oracle

    def prepare(self, preparation: Preparation) -> None:
        """Prepares rejected titles and reference log-probabilities, then estimates eps of every pair."""
        # Fails before the model is run if the run has no oracle.
        self.oracle.opened(preparation)
        super().prepare(preparation)
        eps = torch.from_numpy(self.oracle.smoothing(preparation, self.titles[:, 0]))
        self.eps = eps.to(preparation.backbone.device)
        summary = self.oracle.described
        logger.info(
            "oracle: mean eps %s, share of pairs at the cap %s, with an unknown title %s",
            *(
                "-" if summary[key] is None else f"{summary[key]:.3f}"
                for key in ("mean", "share_at_cap", "unknown_share")
            ),
        )

    def smoothing(self, example: Tensor) -> Tensor:
        return self.eps[example]

    def report(self) -> dict[str, Any]:
        """Returns counts of the rejected titles and a summary of the oracle's estimates."""
        return super().report() | self.oracle.report()
