"""S-DPO: softmax direct preference optimisation of a target over several rejected titles (arXiv 2406.09215)."""

from torch import Tensor
from torch.nn import functional

from llmrec.objectives.preference import Preference, Scores
from llmrec.objectives.rejected.base import Rejected


class SDPO(Preference):
    """-log sigma(-log sum_d exp(r(d) - r(target))) over the rejected titles d; arguments: see Preference.

    One negative is DPO; at the start, where pi = ref, the loss is ln(1 + negatives).
    """

    def __init__(
        self,
        rejected: Rejected,
        negatives: int = 3,
        beta: float = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: float = 0.1,
        most_epochs: int | None = 3,
    ) -> None:
        super().__init__(rejected, beta, negatives, scores, learning_rate_factor, most_epochs)

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        """As the class says."""
        return functional.softplus((rewards[:, 1:] - rewards[:, :1]).logsumexp(dim=1))
