"""APAO: a token loss plus losses of the target's prefixes, the worse ones with larger weights (arXiv 2603.02730)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.objectives.base import OverTokenLoss, Part, Sums, TokenLoss, positive
from llmrec.objectives.batch import Batch, kept_positions
from llmrec.objectives.preparation import Preparation, target_lengths
from llmrec.settings.types import NonNegativeFloat


class APAO(OverTokenLoss):
    """The token loss plus beta * sum_t v_t L_t, with L_t the mean loss of the first t tokens, t = 1 .. T - 1.

    The weights v_t are proportional to L_t * exp(eta * L_t) and detached. T is the length of the target with its end
    token. Source: the point-wise variant of the official code (P), which computes v_t from means over the batch, for
    targets of one length. Here they are each row's own, and the prefix term is averaged over rows (our reading). Over
    MSL, forced tokens have loss 0 (our reading).

    Args:
        token_loss: Any `TokenLoss`.
        beta: Weight of the prefix term.
        eta: How strongly v_t prefers the worse prefixes.
    """

    def __init__(self, token_loss: TokenLoss, beta: NonNegativeFloat = 0.1, eta: NonNegativeFloat = 1e-5) -> None:
        super().__init__(token_loss)
        self.beta, self.eta = beta, eta

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss and stores the trie and the lengths of the targets."""
        super().prepare(preparation)
        assert isinstance(preparation.trie, Trie)
        self.trie, self.target_length = preparation.trie, target_lengths(preparation)

    def supervised(self, fan_out: Tensor) -> Tensor:
        """Supervises every token, since prefixes contain forced tokens too."""
        return torch.ones_like(fan_out, dtype=torch.bool)

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        """Returns the token loss's indices and the positions that it supervises."""
        supervised = torch.nonzero(self.token_loss.supervised(trie.fan_out_at(batch.node)))[:, 0]
        return super().batch_indices(batch, trie) | {"supervised": supervised}

    def totals(self, batch: Batch) -> Sums:
        """Returns the token loss's denominators and the number of rows."""
        rows = torch.full((), len(batch.example), device=batch.example.device)
        supervised = self.with_indices(batch, self.trie).indices["supervised"]
        return self.token_loss.totals(kept_positions(batch, supervised)) | {"rows": rows}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        losses, statistics = self.token_loss.checked_losses(encoded, batch)
        is_supervised = self.token_loss.supervised(self.trie.fan_out_at(batch.node))
        mean = losses.where(is_supervised, 0).sum() / positive(totals["tokens"])
        depth, length = self.trie.depth[batch.node], self.target_length[batch.example]
        by_depth = losses.new_zeros(len(batch.example), self.trie.max_length)
        prefix = prefix_losses(by_depth.index_put((batch.row, depth), losses), length, self.eta)
        sums = {"prefix": prefix.detach().double().sum(), "rows": totals["rows"].new_full((), len(prefix)).double()}
        return Part(mean + self.beta * prefix.sum() / totals["rows"], statistics | sums)

    def close_step(self, statistics: Sums) -> None:
        """Updates the state of the token loss and stores the mean prefix term for `monitors`."""
        super().close_step(statistics)
        self.prefix = statistics["prefix"] / statistics["rows"]

    def monitors(self) -> Mapping[str, float | Tensor]:
        """Returns the token loss's scalars and the mean of sum_t v_t L_t over the last step's rows."""
        return {**super().monitors(), "prefix_loss": self.prefix}


def prefix_losses(losses: Tensor, length: Tensor, eta: float) -> Tensor:
    """Returns sum_t v_t L_t of each row.

    Args:
        losses: The loss of each token, float [rows, longest]; entries beyond a row's length are ignored.
        length: The number of tokens of each row, int64 [rows].
        eta: See `APAO`.

    Returns:
        float [rows]; 0 for rows of one token.
    """
    count = torch.arange(1, losses.shape[1] + 1, device=losses.device)
    mean = losses.cumsum(1) / count
    mean = mean.where(count < length[:, None], 0)
    fixed = mean.detach()
    weight = fixed * (eta * fixed).exp()
    weight = weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight * mean).sum(1)
