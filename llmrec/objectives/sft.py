"""SFT: next-token cross-entropy on the response, the language-modeling loss (LML) of the MSL paper."""

from torch import Tensor
from torch.nn import functional

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Sums, TokenLoss
from llmrec.objectives.batch import Batch


class SFT(TokenLoss):
    """The mean over response tokens of -log softmax over the whole vocabulary.

    Prompt tokens are not trained on. Source: arXiv 2504.04178, where the loss is called LML.
    """

    supervises = "response"

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        return functional.cross_entropy(encoded.logits(), batch.token, reduction="none"), {}
