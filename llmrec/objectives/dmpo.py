"""DMPO: direct multi-preference optimization against the mean of several rejected titles (arXiv 2405.16127)."""

from torch import Tensor
from torch.nn import functional

from llmrec.objectives.preference import SeveralRejected


class DMPO(SeveralRejected):
    """The DMPO loss -log sigma(r(target) - mean_d r(d)), with d over the rejected titles.

    With one negative it is DPO. See `Preference` for the rewards r and the arguments. Source: from memory of the paper,
    not checked against it (our reading). The released code has another loss; see PAPERS.md.
    """

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        return functional.softplus(rewards[:, 1:].mean(dim=1) - rewards[:, 0])
