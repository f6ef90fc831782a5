"""MSL: masked softmax loss over the valid tokens, with a fixed or an adaptive temperature.

Source: arXiv 2504.04178, SIGIR 2025, and its official code.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie, segment_logsumexp
from llmrec.collectives import all_reduce_sums
from llmrec.errors import InputError
from llmrec.objectives.base import Sums, TokenLoss
from llmrec.objectives.batch import Batch
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import Limits, OpenFraction, PositiveFloat, ProbabilityBelowOne


@dataclass(frozen=True)
class ValidLogits:
    """The logits of the valid tokens of N positions.

    Attributes:
        logits: One logit per valid token, float32 [edges], position by position.
        owner: The position of each, int64 [edges], ascending.
        positive: The logit of the token to predict, float32 [N].
    """

    logits: Tensor
    owner: Tensor
    positive: Tensor


class MSL(TokenLoss):
    """Masked softmax loss: -tau * log [ exp(f(y)/tau) / sum over valid tokens z of exp(f(z)/tau) ].

    Args:
        temperature: tau, fixed. None selects the adaptive temperature scheduler (ATS).
        eta: ATS: the probability of the first branching token that ATS aims at.
        start: ATS: the temperature of the first step.
        bounds: ATS: limits of the temperature that a step's statistics give, before it enters the moving average.
        ema: ATS: weight of the old temperature in the exponential moving average.
        reduction: "branching" averages over positions with several valid tokens, as the published ATS script does.
            "response" averages over all response tokens; the loss is 0 where only one token is valid. The published
            fixed-temperature script does this, but leaves out the factor tau. We keep tau, as the paper's formula does.
        statistics: ATS: "previous_step" computes each step's temperature from the steps before it, which is exact under
            gradient accumulation and on several ranks (our reading). "same_step" uses the step itself, as published,
            and requires the whole step in one micro-batch.
    """

    supervises = "branching"
    tau: Tensor
    trie: Trie | Permutations

    def __init__(
        self,
        temperature: PositiveFloat | None = None,
        eta: OpenFraction = 0.25,
        start: PositiveFloat = 1.5,
        bounds: Limits = (1.5, 5.0),
        ema: ProbabilityBelowOne = 0.95,
        reduction: Literal["branching", "response"] = "branching",
        statistics: Literal["previous_step", "same_step"] = "previous_step",
    ) -> None:
        super().__init__()
        self.adaptive = temperature is None
        self.eta, self.bounds, self.ema = eta, bounds, ema
        self.reduction = reduction
        self.needs_whole_step = self.adaptive and statistics == "same_step"
        self.register_buffer("tau", torch.tensor(start if temperature is None else temperature, dtype=torch.float64))

    def prepare(self, preparation: Preparation) -> None:
        """Stores the trie, which defines the valid tokens."""
        self.trie = preparation.trie

    def totals(self, batch: Batch) -> Sums:
        """Returns the number of branching tokens, or of all response tokens, depending on `reduction`."""
        return {"tokens": batch.response_tokens} if self.reduction == "response" else super().totals(batch)

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns the loss of each branching token, float32 [N], and the statistics of the logits for ATS.

        Raises:
            InputError: If a response is free text, which has no valid tokens.
        """
        valid = self.valid_logits(encoded, batch)
        statistics = self._statistics(valid, batch) if self.adaptive else {}
        if self.needs_whole_step:
            self._update(all_reduce_sums(statistics))
        tau = self.tau.to(valid.logits.dtype)
        return tau * segment_logsumexp(valid.logits / tau, valid.owner, len(batch.node)) - valid.positive, statistics

    def valid_logits(self, encoded: Encoded, batch: Batch) -> ValidLogits:
        """Returns the logits of the valid tokens.

        Raises:
            InputError: If a response is free text, which has no valid tokens.
        """
        if batch.has_free_text:
            raise InputError("MSL normalizes over the valid tokens of the trie, which free text has none of. Use SFT")
        owner, edge = self.trie.children(batch.node)
        valid = self.trie.edge_token[edge].long()
        # One matrix product with the distinct valid tokens is cheaper than gathering the rows of the output projection
        # for the valid tokens of each position, which repeats them many times.
        distinct, column = torch.unique(valid, return_inverse=True)
        logits = encoded.logits(distinct)[owner, column]
        return ValidLogits(logits, owner, logits[valid == batch.token[owner]])

    def close_step(self, statistics: Sums) -> None:
        """Updates the adaptive temperature."""
        if self.adaptive and not self.needs_whole_step:
            self._update(statistics)

    def monitors(self) -> dict[str, float]:
        """Returns the temperature of the next step."""
        return {"temperature": float(self.tau)}

    @property
    def training_temperature(self) -> float:
        return float(self.tau)

    def _statistics(self, found: ValidLogits, batch: Batch) -> Sums:
        """Returns sums over each row's statistics node, the first node on its path with fan-out * eta > 1."""
        fan_out = self.trie.fan_out_at(batch.node)
        # With fan-out m and m * eta <= 1, uniform guessing already reaches eta, and log(m * eta) <= 0 gives no tau.
        candidate = torch.nonzero(fan_out * self.eta > 1)[:, 0]
        rows = len(batch.example)
        first = torch.full((rows,), len(fan_out), device=fan_out.device)
        first = first.scatter_reduce(0, batch.row[candidate], candidate, "amin")
        chosen = torch.zeros(len(fan_out) + 1, dtype=torch.bool, device=fan_out.device)
        chosen.index_fill_(0, first, True)
        chosen = chosen[:-1]
        valid = found.logits.detach()[chosen[found.owner]].double()
        return {
            "positive": found.positive.detach()[chosen].double().sum(),
            "rows": chosen.sum().double(),
            "valid": valid.sum(),
            "valid_squares": valid.square().sum(),
            "valid_count": torch.full((), len(valid), dtype=torch.float64, device=valid.device),
            "fan_outs": torch.bincount(fan_out[chosen], minlength=self.trie.max_fan_out + 1).double(),
        }

    def _update(self, sums: Mapping[str, Tensor]) -> None:
        if sums["valid_count"] < 2:
            return
        mean = sums["valid"] / sums["valid_count"]
        variance = (sums["valid_squares"] - sums["valid_count"] * mean**2) / (sums["valid_count"] - 1)
        advantage = sums["positive"] / sums["rows"] - mean
        fan_out = torch.nonzero(sums["fan_outs"])[:, 0]
        weight = sums["fan_outs"][fan_out]
        tau = adaptive_temperature(advantage, variance.clamp(min=0), fan_out, self.eta)
        new = ((tau * weight).sum() / weight.sum()).clamp(*self.bounds)
        self.tau.copy_(self.ema * self.tau + (1 - self.ema) * new)


def adaptive_temperature(advantage: Tensor, variance: Tensor, fan_out: Tensor, eta: float) -> Tensor:
    """Computes tau = (d + sqrt(max(d^2 - 2 s2 L, 0))) / (2 L) with L = log(m * eta).

    This is the plus root, as in the published code. The paper prints the minus root, which does not tend to d / L as s2
    goes to 0.

    Args:
        advantage: d, the mean positive logit minus the mean valid logit.
        variance: s2, the variance of the valid logits.
        fan_out: m, numbers of valid tokens, int [n], each with m * eta > 1.
        eta: The probability to aim at.

    Returns:
        The temperature for each fan-out, float64 [n].
    """
    log_ratio = fan_out.double().log() + math.log(eta)
    return (advantage + (advantage**2 - 2 * variance * log_ratio).clamp(min=0).sqrt()) / (2 * log_ratio)
