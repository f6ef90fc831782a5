"""S-DPO: softmax direct preference optimization with several rejected titles per target (arXiv 2406.09215)."""

from torch import Tensor
from torch.nn import functional

from llmrec.objectives.preference import SeveralRejected


class SDPO(SeveralRejected):
    """The S-DPO loss -log sigma(-log sum_d exp(r(d) - r(target))), with d over the rejected titles.

    With one negative it is DPO. At the start of training, where pi = ref, it is ln(1 + negatives). See `Preference` for
    the rewards r and the arguments.
    """

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        return functional.softplus((rewards[:, 1:] - rewards[:, :1]).logsumexp(dim=1))
