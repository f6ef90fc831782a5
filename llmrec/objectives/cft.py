"""CFT: a token loss plus the same loss of what the history adds to the logits (arXiv 2410.22809)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.errors import InputError
from llmrec.objectives.base import OverTokenLoss, Part, Sums, TokenLoss, positive
from llmrec.objectives.batch import Batch, Branch, Example, kept_positions
from llmrec.objectives.preparation import Preparation, target_lengths
from llmrec.settings.types import NonNegativeFloat, Probability


@dataclass(frozen=True)
class Contrast(Encoded):
    """States whose logits are the difference to those of other states.

    Attributes:
        other: The states that are subtracted, of the same positions.
    """

    other: Encoded = field(kw_only=True)

    def logits(self, tokens: Tensor | None = None) -> Tensor:
        return super().logits(tokens) - self.other.logits(tokens)


class CFT(OverTokenLoss):
    """The loss mean_w(L) + alpha * mean_w(L'), with L' the token loss of the logits with minus without history.

    mean_w is the mean over the target's tokens with weights that fall linearly from 1 at the first to beta at the last
    token. Source: the official code (P), in which L is the cross-entropy, alpha 0.1 and beta 0.25. alpha = 0 is its
    ablation by position alone. Over MSL, where forced tokens have no loss: our reading.

    Args:
        token_loss: Any `TokenLoss` but one that takes statistics of the same step, since the loss is computed twice. An
            adaptive temperature follows the logits with history.
        alpha: Weight of the contrast.
        beta: Weight of the last token.
    """

    branch_count = 2
    prompt_count = 2

    def __init__(self, token_loss: TokenLoss, alpha: NonNegativeFloat = 0.1, beta: Probability = 0.25) -> None:
        super().__init__(token_loss)
        if token_loss.needs_whole_step:
            raise InputError(
                "CFT computes the token loss twice, so that statistics of the same step would count twice. Set "
                "objective.token_loss.statistics=previous_step"
            )
        self.alpha, self.beta = alpha, beta

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss and stores the trie and the lengths of the targets."""
        super().prepare(preparation)
        assert isinstance(preparation.trie, Trie)
        self.trie, self.target_length = preparation.trie, target_lengths(preparation)

    def branches(self, example: Example) -> Sequence[Branch]:
        """Returns the target after the row's prompt, then after the history-free prompt."""
        return [Branch(prompt, example.target) for prompt in (example.prompt, example.prompt_for([]))]

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        """Returns the token loss's indices for the positions with history."""
        factual, _ = _branch_positions(batch)
        return self.token_loss.batch_indices(kept_positions(batch, factual), trie)

    def totals(self, batch: Batch) -> Sums:
        """Returns the sum of the weights of the targets' tokens."""
        factual, _ = _branch_positions(batch)
        return {"weights": self._weights(kept_positions(batch, factual)).sum()}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        factual, counterfactual = _branch_positions(batch)
        batch = kept_positions(batch, factual, batch.indices)
        states, other = encoded[factual], encoded[counterfactual]
        contrast = Contrast(states.head, states.hidden, states.own_logits, other=other)
        losses, statistics = self.token_loss.checked_losses(states, batch)
        contrasts, _ = self.token_loss.checked_losses(contrast, batch)
        weighted = (self._weights(batch).to(losses.dtype) * (losses + self.alpha * contrasts)).sum()
        return Part(weighted / positive(totals["weights"]), statistics)

    def _weights(self, batch: Batch) -> Tensor:
        """Returns the weight of each supervised token, float64 [N]."""
        depth, length = self.trie.depth[batch.node], self.target_length[batch.example[batch.row]]
        return 1 - depth.double() * (1 - self.beta) / (length - 1).clamp(min=1)


def _branch_positions(batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns the positions with and without history, int64 [N / 2] each, which are of the same tokens in order."""
    factual, counterfactual = batch.branch.argsort(stable=True).chunk(2)
    return factual, counterfactual
