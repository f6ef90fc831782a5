"""BEAR: MSL with larger weights on tokens that a beam of K would keep (arXiv 2601.22925, SIGIR 2026)."""

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.trie import segment_logsumexp
from llmrec.objectives.base import Sums
from llmrec.objectives.batch import Batch
from llmrec.objectives.msl import MSL
from llmrec.settings.types import NonNegativeFloat, PositiveFloat, PositiveInt


class BEAR(MSL):
    """The masked softmax loss of branching tokens, averaged with the weights w = 1 + lambda * sigmoid(m / xi).

    m = log p - log q compares the probability p of the token with q, the K-th largest among the valid tokens in its
    place, or the smallest where there are fewer. Both are detached. With lambda = 0 it is MSL with a fixed temperature.
    Source: the official code (P). A digest of the paper gives m the opposite sign; we follow the code. The factor tau
    of the loss is MSL's (our reading); it is 1 by default.

    Args:
        temperature: tau of the softmax over the valid tokens.
        k: K, the number of beams that a token should be among, per prefix.
        topk_weight: lambda.
        topk_temperature: xi.
    """

    def __init__(
        self,
        temperature: PositiveFloat = 1.0,
        k: PositiveInt = 10,
        topk_weight: NonNegativeFloat = 0.25,
        topk_temperature: PositiveFloat = 2.75,
    ) -> None:
        super().__init__(temperature=temperature)
        # As a number, because reading `tau` waits for the GPU.
        self.temperature = temperature
        self.k, self.topk_weight, self.topk_temperature = k, topk_weight, topk_temperature

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns the weighted loss of each branching token, float32 [N], and the sum of the weights."""
        valid, tau = self.valid_logits(encoded, batch), self.temperature
        losses = tau * segment_logsumexp(valid.logits / tau, valid.owner, len(batch.node)) - valid.positive
        threshold = kth_largest(valid.logits.detach(), valid.owner, self.trie.fan_out_at(batch.node).long(), self.k)
        # Of log p - log q the normalizer cancels.
        margin = (valid.positive.detach() - threshold) / tau
        weight = 1 + self.topk_weight * torch.sigmoid(margin / self.topk_temperature)
        tokens = torch.full((), len(weight), dtype=torch.float64, device=weight.device)
        return weight * losses, {"weights": weight.double().sum(), "weighted_tokens": tokens}

    def divisor(self, statistics: Sums) -> Tensor:
        """Returns the mean weight, by which the mean over tokens becomes a weighted mean; 1 without tokens."""
        mean = statistics["weights"] / statistics["weighted_tokens"].clamp(min=1)
        return mean.where(mean > 0, 1.0)


def kth_largest(values: Tensor, owner: Tensor, counts: Tensor, k: int) -> Tensor:
    """Returns the k-th largest value of each segment, or the smallest where there are fewer than k.

    Args:
        values: float [n].
        owner: The segment of each value, int64 [n], ascending; each segment has a value.
        counts: Number of values of each segment, int64 [segments].
        k: The rank, from 1.

    Returns:
        float [segments].
    """
    order = values.argsort(descending=True, stable=True)
    order = order[owner[order].argsort(stable=True)]
    return values[order[counts.cumsum(0) - counts + counts.clamp(max=k) - 1]]
