"""ALRO: aligned listwise ranking objectives for re-ranking (arXiv 2403.19181, Findings of EMNLP 2024).

The model generates a ranking as a sequence of candidate identifiers, and the loss is L_SFT + alpha * SLL + beta * PSL:
soft lambda loss and permutation-sensitive loss. From a secondary source (S): the composition of the loss, the soft
positions and the pair weights of SLL. Our reading (I): the final sum of SLL and the form of PSL.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Objective, Part, Sums
from llmrec.objectives.batch import Batch, Branch, Example
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import NonNegativeFloat, PositiveFloat


class ALRO(Objective):
    """SFT on the target order, plus the soft lambda loss (SLL) and the permutation-sensitive loss (PSL).

    Args:
        alpha: Weight of SLL; 0 leaves it out of the loss.
        beta: Weight of PSL; 0 leaves it out, and then no second order of the candidates is encoded.
        sigma: Slope of the logistic loss on pairs in SLL.
        gamma: Sharpness of the soft positions. With gamma 1 and ten candidates, only 15 % of their spread remains.
        normalise: Whether gains are divided by the list's ideal DCG.
    """

    tasks = ("rerank",)

    def __init__(
        self,
        alpha: NonNegativeFloat = 0.1,
        beta: NonNegativeFloat = 0.1,
        sigma: PositiveFloat = 1.0,
        gamma: PositiveFloat = 10.0,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.sigma, self.gamma, self.normalise = alpha, beta, sigma, gamma, normalise
        self.branch_count = self.prompt_count = 2 if beta else 1
        self.monitored: dict[str, Tensor] = {}

    def prepare(self, preparation: Preparation) -> None:
        """Stores the target orders and gains of the training lists, and the tokens of the identifiers."""
        lists, device = preparation.lists, preparation.backbone.device
        self.identifiers = torch.from_numpy(lists.identifier_tokens).to(device)
        self.target = torch.from_numpy(lists.target).to(device)
        self.gains = torch.from_numpy(lists.gains).to(device)

    def branches(self, example: Example) -> list[Branch]:
        """Returns the stored order and, for PSL, a random one, of which the m identifiers are supervised, not EOS."""
        stored = Branch(example.prompt, example.target)
        if self.branch_count == 1:
            return [stored]
        candidates = np.arange(len(example.target.tokens) - 1)
        other = example.in_order(example.generator().permuted(candidates[None], axis=1)[0])
        ranking = replace(other.response, supervised=np.arange(len(candidates) + 1) < len(candidates))
        return [stored, replace(other, response=ranking)]

    def supervised(self, fan_out: Tensor) -> Tensor:
        """Supervises every token of the ranking, EOS included."""
        return torch.ones_like(fan_out, dtype=torch.bool)

    def totals(self, batch: Batch) -> Sums:
        """Returns the number of supervised tokens of the stored orders and the number of lists."""
        device = batch.state_index.device
        tokens = (batch.branch == 0).sum()
        return {"tokens": tokens, "lists": torch.full((), len(batch.example), device=device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """Computes the batch's part of L_SFT, averaged over the step's tokens, and of SLL and PSL, over its lists."""
        stored, other = self._orders(batch)
        logits = encoded[stored].logits()
        sft = functional.cross_entropy(logits, batch.token[stored], reduction="sum") / totals["tokens"]
        slots = logits.view(len(batch.example), -1, logits.shape[1])[:, : len(self.identifiers)]
        sll = self._soft_lambda(slots, batch).sum() / totals["lists"]
        psl = self._permutation_sensitive(slots, encoded, other, batch).sum() / totals["lists"]
        parts = {"sft": sft, "sll": sll, "psl": psl}
        return Part(sft + self.alpha * sll + self.beta * psl, {k: v.detach().double() for k, v in parts.items()})

    def close_step(self, statistics: Sums) -> None:
        """Stores the unweighted parts of the step's loss for `monitors`."""
        self.monitored = {name: statistics[name] for name in ("sft", "sll", "psl")}

    def monitors(self) -> Mapping[str, Tensor]:
        """Returns the parts of the last step's loss, unweighted: sft, sll and psl."""
        return self.monitored

    def _orders(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the positions of the stored orders and of the second ones, int64 [rows * (m + 1)], [rows * m]."""
        positions = torch.arange(len(batch.branch), device=batch.branch.device).view(len(batch.example), -1)
        # Of each row, the stored order comes first, with EOS.
        stored, other = positions.tensor_split([len(self.identifiers) + 1], dim=1)
        return stored.flatten(), other.flatten()

    def _soft_lambda(self, slots: Tensor, batch: Batch) -> Tensor:
        """Returns float32 [rows], from the logits at the stored order's m slots, [rows, m, vocabulary]."""
        emitted = slots.softmax(-1)[:, :, self.identifiers]
        target, gains = self.target[batch.example], self.gains[batch.example]
        return soft_lambda_loss(soft_positions(emitted, self.gamma), target, gains, self.sigma, self.normalise)

    def _permutation_sensitive(self, slots: Tensor, encoded: Encoded, other: Tensor, batch: Batch) -> Tensor:
        """Returns float32 [rows]; zeros if no second order is encoded."""
        if self.branch_count == 1:
            return slots.new_zeros(len(slots))
        size = len(self.identifiers)
        shown = encoded[other].logits(self.identifiers).view(len(slots), size, size)
        position = self._positions(batch.token[other].view(-1, size), batch.example)
        return permutation_sensitive_loss(
            slots[:, :, self.identifiers], shown.gather(2, position[:, None].expand_as(shown))
        )

    def _positions(self, ranking: Tensor, example: Tensor) -> Tensor:
        """Returns the position at which an order shows each candidate.

        Args:
            ranking: The target ranking in the identifiers of the order, tokens, int64 [rows, m].
            example: The index of each row in the training sample, int64 [rows].

        Returns:
            int64 [rows, m].
        """
        # An identifier names a position, and the k-th one of a ranking stands for the k-th candidate of the target.
        position = (ranking[:, :, None] == self.identifiers).long().argmax(2)
        return torch.zeros_like(position).scatter(1, self.target[example], position)


def soft_positions(emitted: Tensor, gamma: float) -> Tensor:
    """Computes soft positions s_i = sum over slots k of k * softmax_k(gamma * y_{k,i}), from a secondary source (S).

    Args:
        emitted: y, the probability that slot k contains candidate i, [rows, m slots, m candidates].
        gamma: Sharpness of the softmax over slots.

    Returns:
        s, [rows, m]; 1 is the first position.
    """
    slot = torch.arange(1, emitted.shape[1] + 1, device=emitted.device, dtype=emitted.dtype)
    # A matrix product would run in bfloat16 under mixed precision, so the sum is written out.
    return (slot[:, None] * (gamma * emitted).softmax(1)).sum(1)


def soft_lambda_loss(position: Tensor, target: Tensor, gains: Tensor, sigma: float, normalise: bool) -> Tensor:
    """Computes SLL = sum over pairs with t_j < t_i of delta_ij * |G_i - G_j| * log2(1 + exp(-sigma * (s_i - s_j))).

    delta_ij = 1 / D(|t_i - t_j|) - 1 / D(|t_i - t_j| + 1) with D(k) = log2(1 + k), where t are the target ranks. The
    pair weights are from a secondary source (S); the sum is our reading (I).

    Args:
        position: s, soft positions, [rows, m], 1 = first. They are positions, not scores: the worse candidate i of a
            pair should have the larger one.
        target: The candidates in target order, best first, int64 [rows, m].
        gains: G, the gain of each candidate, [rows, m].
        sigma: Slope of the logistic loss.
        normalise: Whether gains are divided by the list's ideal DCG.

    Returns:
        [rows].
    """
    size = target.shape[1]
    gap = torch.arange(size, device=target.device, dtype=position.dtype)
    if normalise:
        best = gains.sort(1, descending=True).values / torch.log2(2 + gap)
        gains = gains / best.sum(1, keepdim=True)
    s, gain = position.gather(1, target), gains.gather(1, target)
    delta = 1 / torch.log2(1 + gap[1:]) - 1 / torch.log2(2 + gap[1:])
    first, second = torch.triu_indices(size, size, offset=1, device=target.device)
    weight = delta[second - first - 1] * (gain[:, first] - gain[:, second]).abs()
    # log2(1 + exp(-x)) is softplus(-x) / ln 2, which does not overflow.
    losses = functional.softplus(-sigma * (s[:, second] - s[:, first])) / math.log(2)
    return (weight * losses).sum(1)


def permutation_sensitive_loss(stored: Tensor, other: Tensor) -> Tensor:
    """Computes PSL, the mean over slots of KL(p || q) between the candidate distributions of two orders (our reading).

    p, from the stored order, is detached, so the gradient is that of the cross-entropy. Its constant part, the entropy
    of p, is left out: the loss is 0 where the two distributions are equal.

    Args:
        stored: Logits under the stored order, [rows, m slots, m candidates].
        other: Logits under another order, same shape and same numbering of candidates.

    Returns:
        [rows].
    """
    p, q = stored.detach().log_softmax(-1), other.log_softmax(-1)
    return functional.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean(-1)
