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

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        """Lists the valid tokens of all positions, and for ATS the statistics positions.

        Returns:
            owner: The position of each valid token, int64 [edges], ascending.
            distinct: The distinct valid tokens, int64 [T].
            column: The index in `distinct` of each valid token, int64 [edges].
            positive: The index of each position's token to predict among the valid tokens, int64 [N].
            statistics_position: With an adaptive temperature, the statistics position of each row that has one, int64
                [K]: the first on its path with fan-out * eta > 1.
            statistics_edge: The indices of their valid tokens, int64 [M].

        Raises:
            InputError: If a response is free text, which has no valid tokens.
        """
        if batch.has_free_text:
            raise InputError("MSL normalizes over the valid tokens of the trie, which free text has none of. Use SFT")
        owner, edge = trie.children(batch.node)
        valid = trie.edge_token[edge].long()
        distinct, column = torch.unique(valid, return_inverse=True)
        positive = torch.nonzero(valid == batch.token[owner])[:, 0]
        indices = {"owner": owner, "distinct": distinct, "column": column, "positive": positive}
        if self.adaptive:
            position = self._statistics_positions(batch, trie)
            is_chosen = torch.zeros(len(batch.node), dtype=torch.bool, device=owner.device)
            is_chosen[position] = True
            edges = torch.nonzero(is_chosen[owner])[:, 0]
            indices |= {"statistics_position": position, "statistics_edge": edges}
        return indices

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns the loss of each branching token, float32 [N], and the statistics of the logits for ATS.

        Raises:
            InputError: If a response is free text, which has no valid tokens.
        """
        batch = self.with_indices(batch, self.trie)
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
        indices = self.with_indices(batch, self.trie).indices
        # One matrix product with the distinct valid tokens is cheaper than gathering the rows of the output projection
        # for the valid tokens of each position, which repeats them many times.
        logits = encoded.logits(indices["distinct"])[indices["owner"], indices["column"]]
        return ValidLogits(logits, indices["owner"], logits[indices["positive"]])

    def close_step(self, statistics: Sums) -> None:
        """Updates the adaptive temperature."""
        if self.adaptive and not self.needs_whole_step:
            self._update(statistics)

    def monitors(self) -> Mapping[str, float | Tensor]:
        """Returns the temperature of the next step."""
        return {"temperature": self.tau}

    @property
    def training_temperature(self) -> float:
        return float(self.tau)

    def _statistics_positions(self, batch: Batch, trie: Trie | Permutations) -> Tensor:
        # With fan-out m and m * eta <= 1, uniform guessing already reaches eta, and log(m * eta) <= 0 gives no tau.
        candidate = torch.nonzero(trie.fan_out_at(batch.node) * self.eta > 1)[:, 0]
        none = len(batch.node)
        first = torch.full((len(batch.example),), none, device=candidate.device)
        first = first.scatter_reduce(0, batch.row[candidate], candidate, "amin")
        return first[first < none]

    def _statistics(self, found: ValidLogits, batch: Batch) -> Sums:
        """Returns sums over the statistics positions."""
        position, edge = batch.indices["statistics_position"], batch.indices["statistics_edge"]
        positive = found.positive.detach()[position].double()
        valid = found.logits.detach()[edge].double()
        fan_out = self.trie.fan_out_at(batch.node[position]).long()
        return {
            "positive": positive.sum(),
            "rows": positive.new_full((), len(position)),
            "valid": valid.sum(),
            "valid_squares": valid.square().sum(),
            "valid_count": valid.new_full((), len(edge)),
            "fan_outs": positive.new_zeros(self.trie.max_fan_out + 1).index_add(0, fan_out, torch.ones_like(positive)),
        }

    def _update(self, sums: Mapping[str, Tensor]) -> None:
        """Moves the temperature, if there are at least two valid logits; decided on the device, without waiting."""
        count, rows, weight = sums["valid_count"].clamp(min=2), sums["rows"].clamp(min=1), sums["fan_outs"]
        mean = sums["valid"] / count
        variance = (sums["valid_squares"] - count * mean**2) / (count - 1)
        advantage = sums["positive"] / rows - mean
        # Fan-outs that did not occur have weight 0. In their place stands one for which the temperature is finite.
        fan_out = torch.arange(len(weight), device=weight.device).double().where(weight > 0, 2 / self.eta)
        tau = adaptive_temperature(advantage, variance.clamp(min=0), fan_out, self.eta)
        new = ((tau * weight).sum() / rows).clamp(*self.bounds)
        moved = self.ema * self.tau + (1 - self.ema) * new
        self.tau.copy_(torch.where(sums["valid_count"] < 2, self.tau, moved))


def adaptive_temperature(advantage: Tensor, variance: Tensor, fan_out: Tensor, eta: float) -> Tensor:
    """Computes tau = (d + sqrt(max(d^2 - 2 s2 L, 0))) / (2 L) with L = log(m * eta).

    This is the plus root, as in the published code. The paper prints the minus root, which does not tend to d / L as s2
    goes to 0.

    Args:
        advantage: d, the mean positive logit minus the mean valid logit.
        variance: s2, the variance of the valid logits.
        fan_out: m, numbers of valid tokens, [n], each with m * eta > 1.
        eta: The probability to aim at.

    Returns:
        The temperature for each fan-out, float64 [n].
    """
    log_ratio = fan_out.double().log() + math.log(eta)
    return (advantage + (advantage**2 - 2 * variance * log_ratio).clamp(min=0).sqrt()) / (2 * log_ratio)
