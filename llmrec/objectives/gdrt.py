"""GDRT: group distributionally robust tuning over any token loss (arXiv 2510.10978, WWW 2026).

Only the abstract and a secondary source could be had: tokens are grouped by their relevance to the auxiliary text, and
a closed-form Group DRO weighs the worse groups up. What stands below beyond that is our reading.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.relevance import title_relevance
from llmrec.catalogue.trie import Trie
from llmrec.errors import InputError
from llmrec.objectives.base import Batch, Objective, Part, Preparation, Sums, TokenLoss, one_of, over_ranks
from llmrec.objectives.groups import Kind, describe, divide, supervised_tokens

logger = logging.getLogger(__name__)


class GDRT(Objective):
    """tau * log sum_g p_g exp(L_g / tau), L_g the mean token loss of group g, by its detached worst-case weights.

    The gradient is that of sum_g q_g L_g, q_g = p_g exp(L_g / tau) / sum_h p_h exp(L_h / tau): tau -> infinity is the
    token loss underneath, tau -> 0 the worst group. The loss that is reported is sum_g q_g L_g, times supervised tokens
    by the token loss's own denominator (1 but for MSL's reduction "response").

    token_loss: any TokenLoss; it alone says which positions are supervised. groups: what equal-frequency bins are made
    of, "random" and "position" being controls; group_count: how many. reference: whose relevance, the backbone before
    any tuning ("base"), the stage's ("sft") or the weights in training, looked at again before each epoch ("current").
    temperature: tau. prior: p_g, the group's share of the step's supervised tokens, or the same for all that occur.
    statistics: "previous_step" takes L_g from the steps before (exact under accumulation and ranks; q = p at first),
    "same_step" from this one, which must be one micro-batch. ema: weight of the older L_g. weights: "inverse_relevance"
    is the static control, q_g proportional to p_g / mean relevance of g. Everything but the grouping by relevance and
    the closed form is our reading.
    """

    group_loss: Tensor
    seen: Tensor

    def __init__(
        self,
        token_loss: TokenLoss,
        groups: Kind = "relevance",
        group_count: int = 10,
        reference: Literal["base", "sft", "current"] = "base",
        temperature: float = 5.0,
        prior: Literal["share", "uniform"] = "share",
        statistics: Literal["previous_step", "same_step"] = "previous_step",
        ema: float = 0.0,
        weights: Literal["worst_case", "inverse_relevance"] = "worst_case",
    ) -> None:
        super().__init__()
        if not isinstance(token_loss, TokenLoss):
            raise ValueError(f"objective.token_loss is a {type(token_loss).__name__}; a TokenLoss is needed (sft, msl)")
        if not 0 < temperature < math.inf or group_count < 1 or not 0 <= ema < 1:
            raise ValueError("objective.temperature must be above 0, group_count at least 1, ema from 0 to below 1")
        self.token_loss, self.temperature, self.group_count, self.ema = token_loss, temperature, group_count, ema
        self.groups = one_of("groups", groups, "relevance", "random", "position")
        self.reference = one_of("reference", reference, "base", "sft", "current")
        self.prior = one_of("prior", prior, "share", "uniform")
        self.weights = one_of("weights", weights, "worst_case", "inverse_relevance")
        self.same_step = one_of("statistics", statistics, "previous_step", "same_step") == "same_step"
        self.needs_whole_step = self.same_step or token_loss.needs_whole_step
        self.register_buffer("group_loss", torch.zeros(group_count, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(group_count, dtype=torch.bool))
        self.step_weights = torch.zeros(group_count, dtype=torch.float64)

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss, scores the sample's titles under the reference and divides their tokens."""
        self.token_loss.prepare(preparation)
        assert isinstance(preparation.trie, Trie)
        self.preparation, self.trie = preparation, preparation.trie
        with self._reference(preparation) as backbone:
            self._divide(backbone)

    def start_epoch(self, epoch: int) -> None:
        """Divides the tokens anew where the reference is the model in training."""
        self.token_loss.start_epoch(epoch)
        if self.reference == "current" and epoch > 0:
            self._divide(self.preparation.backbone)

    def supervised(self, fan_out: Tensor) -> Tensor:
        """As the token loss declares."""
        return self.token_loss.supervised(fan_out)

    def totals(self, batch: Batch) -> Sums:
        """What the token loss divides by, and the supervised tokens of each group."""
        return self.token_loss.totals(batch) | {"group_tokens": self._count(self._group(batch))}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """The token losses of the batch, each weighted by q_g / p_g of its group, in their mean over the step."""
        losses, statistics = self.token_loss.checked_losses(encoded, batch)
        group = self._group(batch)
        sums = {
            "group_losses": torch.zeros_like(self.group_loss).index_add(0, group, losses.detach().double()),
            "group_tokens": self._count(group),
        }
        if self.same_step:
            self._move(over_ranks({name: value.clone() for name, value in sums.items()}))
        tokens = totals["group_tokens"]
        self.step_weights = self.group_weights(tokens)
        # q_g over the group's share of the step: 1 on average over the tokens.
        weight = (self.step_weights * tokens.sum() / tokens.clamp(min=1))[group].to(losses.dtype)
        return Part((weight * losses).sum() / totals["tokens"].clamp(min=1), statistics | sums)

    def close_step(self, statistics: Sums) -> None:
        """Moves the token loss and the groups' losses."""
        self.token_loss.close_step(statistics)
        if not self.same_step:
            self._move(statistics)

    def monitors(self) -> dict[str, float]:
        """The token loss's own; of each group the weight q that the last step had, and the loss that it closed."""
        named = {f"group_weight/{number:02d}": value for number, value in enumerate(self.step_weights.tolist())}
        named |= {f"group_loss/{number:02d}": value for number, value in enumerate(self.group_loss.tolist())}
        return self.token_loss.monitors() | named

    def report(self) -> dict[str, Any]:
        """The token loss's own; of each group its tokens, range and mean of relevance, mean position."""
        return self.token_loss.report() | {"groups": self.described}

    def group_weights(self, tokens: Tensor) -> Tensor:
        """q, float64 [groups], of a step with so many supervised tokens a group: 0 where a group is absent.

        tokens: float64 [groups]. Source: the closed form, a secondary source; prior and statistics, our reading.
        """
        mass = tokens if self.prior == "share" else (tokens > 0).double()
        return torch.softmax(mass.log() + self._scores(), 0)

    @contextmanager
    def _reference(self, preparation: Preparation) -> Iterator[Backbone]:
        if self.reference == "sft" and preparation.stage is None:
            raise InputError(
                "objective.reference=sft needs a model tuned with SFT to look at: add stage=sft, which also starts the "
                "training there, or take objective.reference=base"
            )
        if self.reference != "base":
            yield preparation.backbone
        elif preparation.stage is None or preparation.backbone.adapted:
            with preparation.backbone.without_adapter():
                yield preparation.backbone
        else:
            yield preparation.open_base()

    def _divide(self, backbone: Backbone) -> None:
        data = self.preparation.data
        prompt = data.history_free_prompt()
        titles = np.unique(data.sample_titles)
        # Weights in training are never seen again.
        cache_dir = None if self.reference == "current" else self.preparation.cache_dir
        found = title_relevance(backbone, prompt, [data.titles.of(title) for title in titles], cache_dir)
        tokens = supervised_tokens(data, titles, found)
        group = divide(tokens, self.groups, self.group_count, self.preparation.seed)
        of_edge = torch.full((len(data.trie.edge_token),), -1)
        of_edge[torch.from_numpy(tokens.edge)] = torch.from_numpy(group)
        self.group_of_edge = of_edge.to(self.group_loss.device)
        self.described = describe(tokens, group, self.group_count)
        self._announce()
        relevance = [entry.get("mean_relevance", 1.0) for entry in self.described]
        self.mean_relevance = self.group_loss.new_tensor(relevance)

    def _announce(self) -> None:
        sizes = [entry["tokens"] for entry in self.described]
        logger.info(
            "groups by %s: %s of %s supervised tokens, the largest %s%s",
            self.groups, self.group_count, f"{sum(sizes):,}", f"{max(sizes):,}",
            f"; {sizes.count(0)} empty, since equal values are never divided" if 0 in sizes else "",
        )  # fmt: skip

    def _group(self, batch: Batch) -> Tensor:
        """int64 [N]: the group of each supervised position."""
        return self.group_of_edge[self.trie.edges(batch.node, batch.token)]

    def _count(self, group: Tensor) -> Tensor:
        return torch.bincount(group, minlength=self.group_count).double()

    def _move(self, sums: Mapping[str, Tensor]) -> None:
        present = sums["group_tokens"] > 0
        mean = sums["group_losses"] / sums["group_tokens"].clamp(min=1)
        mean = torch.where(self.seen, self.ema * self.group_loss + (1 - self.ema) * mean, mean)
        self.group_loss.copy_(torch.where(present, mean, self.group_loss))
        self.seen |= present

    def _scores(self) -> Tensor:
        """float64 [groups]: log of what multiplies the prior; L_g / tau."""
        if self.weights == "inverse_relevance":
            return -self.mean_relevance.log()
        # A group that no step has shown yet is taken for an average one.
        average = self.group_loss[self.seen].mean() if bool(self.seen.any()) else self.group_loss.new_zeros(())
        return torch.where(self.seen, self.group_loss, average) / self.temperature
