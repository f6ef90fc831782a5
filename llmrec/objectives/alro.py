"""ALRO: aligned listwise ranking objectives for re-ranking (arXiv 2403.19181, Findings of EMNLP 2024).

Known from a secondary source: L = L_SFT + alpha * SLL + beta * PSL on a ranking that is generated as identifiers, with
the soft positions and the weights of the pairs below. The final sum of SLL and the form of PSL are our reading.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Batch, ListBatch, Objective, Part, Sums


class ALRO(Objective):
    """SFT on the target order plus `alpha` times the soft lambda loss plus `beta` times the permutation-sensitive loss.

    alpha, beta: 0 leaves that part out of the loss, and without beta no second order of the candidates is run; sigma:
    slope of the pairs' logistic loss; gamma: sharpness of the soft positions (1 would keep 15 % of their spread at ten
    candidates); normalise: gains are divided by the list's largest DCG.
    """

    tasks = ("rerank",)

    def __init__(
        self, alpha: float = 0.1, beta: float = 0.1, sigma: float = 1.0, gamma: float = 10.0, normalise: bool = True
    ) -> None:
        super().__init__()
        if not (alpha >= 0 and beta >= 0 and sigma > 0 and gamma > 0):
            raise ValueError("objective.alpha and objective.beta must be at least 0, sigma and gamma above 0")
        self.alpha, self.beta, self.sigma, self.gamma, self.normalise = alpha, beta, sigma, gamma, normalise
        self.permutations = 1 if beta else 0
        self.monitored: dict[str, float] = {}

    def supervised(self, fan_out: Tensor) -> Tensor:
        """Every token of the ranking, EOS included."""
        return torch.ones_like(fan_out, dtype=torch.bool)

    def totals(self, batch: Batch) -> Sums:
        """The numbers of supervised tokens and of lists."""
        device = batch.at.device
        tokens = (batch.branch == 0).sum()
        return {"tokens": tokens, "lists": torch.full((), len(batch.example), device=device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """The batch's share of L_SFT over the step's tokens, and of SLL and PSL over its lists."""
        assert isinstance(batch, ListBatch)
        stored = torch.nonzero(batch.branch == 0)[:, 0]
        logits = encoded[stored].logits()
        sft = functional.cross_entropy(logits, batch.token[stored], reduction="sum") / totals["tokens"]
        slots = logits.view(len(batch.example), -1, logits.shape[1])[:, : len(batch.identifiers)]
        sll = self._soft_lambda(slots, batch).sum() / totals["lists"]
        psl = self._permutation_sensitive(slots, encoded, batch).sum() / totals["lists"]
        parts = {"sft": sft, "sll": sll, "psl": psl}
        return Part(sft + self.alpha * sll + self.beta * psl, {k: v.detach().double() for k, v in parts.items()})

    def close_step(self, statistics: Sums) -> None:
        """Takes down the step's parts of the loss, unweighted."""
        self.monitored = {name: float(statistics[name]) for name in ("sft", "sll", "psl")}

    def monitors(self) -> dict[str, float]:
        """Of the last step: its parts sft, sll and psl, unweighted."""
        return self.monitored

    def _soft_lambda(self, slots: Tensor, batch: ListBatch) -> Tensor:
        """float32 [rows]; slots: logits of the stored order's m slots, [rows, m, vocabulary]."""
        emitted = slots.softmax(-1)[:, :, batch.identifiers]
        return soft_lambda_loss(
            soft_positions(emitted, self.gamma), batch.target, batch.gains, self.sigma, self.normalise
        )

    def _permutation_sensitive(self, slots: Tensor, encoded: Encoded, batch: ListBatch) -> Tensor:
        """float32 [rows], or 0 where no other order is run."""
        if not self.permutations:
            return slots.new_zeros(len(slots))
        size = len(batch.identifiers)
        other = encoded[torch.nonzero(batch.branch == 1)[:, 0]].logits(batch.identifiers).view(len(slots), size, size)
        items = batch.place[:, 1, None].expand(-1, size, -1)
        return permutation_sensitive_loss(slots[:, :, batch.identifiers], other.gather(2, items))


def soft_positions(emitted: Tensor, gamma: float) -> Tensor:
    """s_i = sum over slots k of k * softmax_k(gamma * y_{k,i}): [rows, m], 1 = first.

    emitted: y, the probability that slot k names candidate i, [rows, m slots, m candidates]. Source: as known from a
    secondary source of arXiv 2403.19181.
    """
    slot = torch.arange(1, emitted.shape[1] + 1, device=emitted.device, dtype=emitted.dtype)
    # No matrix product, which mixed precision would take in bfloat16.
    return (slot[:, None] * (gamma * emitted).softmax(1)).sum(1)


def soft_lambda_loss(position: Tensor, target: Tensor, gains: Tensor, sigma: float, normalise: bool) -> Tensor:
    """SLL = sum over pairs with t_j < t_i of delta_ij * |G_i - G_j| * log2(1 + exp(-sigma * (s_i - s_j))): [rows].

    position: s, [rows, m], 1 = first (a position, not a score: the worse candidate i should stand behind j); target:
    int64 [rows, m], the candidates in target order, whose ranks are t; gains: G, [rows, m]; delta_ij = 1/D(|t_i - t_j|)
    - 1/D(|t_i - t_j| + 1) with D(k) = log2(1 + k). The weights are of a secondary source, the sum is our reading.
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
    # log2(1 + exp(-x)) = softplus(-x) / ln 2, without the overflow.
    losses = functional.softplus(-sigma * (s[:, second] - s[:, first])) / math.log(2)
    return (weight * losses).sum(1)


def permutation_sensitive_loss(stored: Tensor, other: Tensor) -> Tensor:
    """PSL: mean over the slots of KL(p || q) between the distributions over candidates that two orders give, [rows].

    stored, other: logits [rows, m slots, m candidates], candidates numbered alike; p, of the stored order, is detached,
    so the gradient is that of the cross-entropy, whose constant part is left out: 0 where the two agree. Our reading.
    """
    p, q = stored.detach().log_softmax(-1), other.log_softmax(-1)
    return functional.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean(-1)
