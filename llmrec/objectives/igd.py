"""IGD-Tuning: less weight on tokens that narrow down the item by nothing (arXiv 2506.13229)."""

from typing import Any

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.trie import Trie
from llmrec.objectives.base import OverTokenLoss, Sums, TokenLoss
from llmrec.objectives.batch import Batch
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import PositiveFloat


class IGD(OverTokenLoss, TokenLoss):
    """A weighted mean of token losses, with weight beta for tokens without information gain, else 1.

    The information gain of a token is 0 if all training targets with the prefix before it also have the prefix after
    it. Source: the official code (P), whose frequency-weighted scores of prefixes are equal in exactly these cases;
    over MSL it is our reading.

    Args:
        token_loss: Any `TokenLoss`.
        beta: Weight of tokens without information gain.
    """

    tasks = ("next_item", "candidates")
    weight_of_edge: Tensor

    def __init__(self, token_loss: TokenLoss, beta: PositiveFloat = 0.1) -> None:
        super().__init__(token_loss)
        self.beta = beta

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss and computes the weight of each edge of the trie from the training targets."""
        super().prepare(preparation)
        assert isinstance(preparation.trie, Trie)
        self.trie, data = preparation.trie, preparation.catalogue.dataset
        leaf = self.trie.title_leaf.long()[torch.from_numpy(data.items.title_of[data.train.target]).to(self._device)]
        self.weight_of_edge = edge_weights(self.trie, leaf, self.beta)

    def totals(self, batch: Batch) -> Sums:
        """Returns the sum of the weights."""
        return {"tokens": self._weight(batch).sum()}

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns the weighted loss of each supervised token, float32 [N], and the token loss's statistics."""
        losses, statistics = self.token_loss.checked_losses(encoded, batch)
        return self._weight(batch).to(losses.dtype) * losses, statistics

    def report(self) -> dict[str, Any]:
        """Returns the token loss's report and the share of the trie's edges that have information gain."""
        decisive = float((self.weight_of_edge == 1).double().mean())
        return super().report() | {"decisive_edges": decisive}

    @property
    def _device(self) -> torch.device:
        return self.trie.title_leaf.device

    def _weight(self, batch: Batch) -> Tensor:
        return self.weight_of_edge[self.trie.edges(batch.node, batch.token)]


def edge_weights(trie: Trie, leaf: Tensor, beta: float) -> Tensor:
    """Returns 1 for the edges of the trie that narrow down the training targets, else beta.

    Args:
        trie: The trie.
        leaf: The leaf of each training target, int64 [rows].
        beta: The weight of edges that do not, and of those below which there is no target.

    Returns:
        float64 [edges].
    """
    counts = torch.bincount(leaf, minlength=len(trie.leaf_title))
    before = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    targets = before[trie.leaf_high.long()] - before[trie.leaf_low.long()]
    # Edge e leads to node e + 1.
    narrows = (targets[1:] > 0) & (targets[1:] < targets[trie.parent])
    return torch.where(narrows, 1.0, beta).double()
