"""SFT: next-token cross-entropy of the response (the MSL paper's language-modelling loss, LML)."""

from torch import Tensor
from torch.nn import functional

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Batch, Sums, TokenLoss


class SFT(TokenLoss):
    """Mean over the response tokens of -log softmax over the whole vocabulary; prompt tokens are not trained on.

    Source: arXiv 2504.04178, the loss called LML.
    """

    supervises = "response"

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Cross-entropy of each response token, float32 [N]."""
        return functional.cross_entropy(encoded.logits(), batch.token, reduction="none"), {}
