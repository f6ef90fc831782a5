"""cDPO: DPO whose every pair may be the wrong way round with one probability (E. Mitchell, A note on DPO, 2023)."""

from torch import Tensor

from llmrec.objectives.preference import Pairwise, Scores
from llmrec.objectives.rejected.base import Rejected


class CDPO(Pairwise):
    """DPO with the same eps, `smoothing`, for all pairs; other arguments: see Preference."""

    def __init__(
        self,
        rejected: Rejected,
        smoothing: float = 0.1,
        beta: float = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: float = 0.1,
        most_epochs: int | None = 3,
    ) -> None:
        super().__init__(rejected, beta, 1, scores, learning_rate_factor, most_epochs)
        if not 0 <= smoothing < 1:
            raise ValueError(f"objective.smoothing={smoothing}: give a probability from 0 to below 1")
        self.eps = smoothing

    def smoothing(self, example: Tensor) -> Tensor:
        """The one eps."""
        return self.reference.new_full((), self.eps)
