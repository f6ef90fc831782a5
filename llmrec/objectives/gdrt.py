"""GDRT: group distributionally robust tuning over any token loss (arXiv 2510.10978, WWW 2026).

We had access only to the abstract and a secondary source. (P), from the abstract: target tokens are grouped by their
relevance to the auxiliary text. (S), from the secondary source: relevance is the model's probability of the token
without the history, and the objective is a closed-form Group DRO, which gives worse groups a larger weight. The formula
below and everything else is our reading (I).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.relevance import title_relevance
from llmrec.catalogue.trie import Trie
from llmrec.collectives import all_reduce_sums
from llmrec.errors import InputError
from llmrec.objectives.base import OverTokenLoss, Part, Sums, TokenLoss, positive
from llmrec.objectives.batch import Batch
from llmrec.objectives.groups import Grouping, assign_groups, describe_groups, supervised_tokens
from llmrec.objectives.preparation import Preparation
from llmrec.settings.types import PositiveFloat, PositiveInt, ProbabilityBelowOne

logger = logging.getLogger(__name__)


class GDRT(OverTokenLoss):
    """The loss tau * log sum_g p_g exp(L_g / tau), where L_g is the mean token loss of group g.

    Its gradient is that of sum_g q_g L_g with the detached weights q_g = p_g exp(L_g / tau) / sum_h p_h exp(L_h / tau).
    For tau -> infinity it is the token loss underneath, for tau -> 0 the loss of the worst group. The reported loss is
    sum_g q_g L_g, times the number of supervised tokens, divided by the token loss's own denominator. This factor is 1
    except for MSL with reduction "response" and for IGD. Source: our reading, but for the parts named in the module's
    docstring.

    Args:
        token_loss: Any `TokenLoss`. It alone determines which positions are supervised.
        groups: The quantity whose equal-frequency bins are the groups. "random" and "position" are controls.
        group_count: Number of groups.
        reference: The model that determines relevance: the backbone before any tuning ("base"), the model of the stage
            ("sft"), or the weights in training, evaluated again before each epoch ("current").
        temperature: tau.
        prior: p_g: the group's share of the step's supervised tokens ("share"), or the same value for all groups that
            occur in the step ("uniform").
        statistics: "previous_step" takes L_g from the steps before, which is exact under gradient accumulation and on
            several ranks; at the first step q = p. "same_step" takes L_g from the step itself and requires the whole
            step in one micro-batch.
        ema: Weight of the older L_g in an exponential moving average.
        weights: "worst_case" is q_g as above. "inverse_relevance" is a control with static weights: q_g is proportional
            to p_g / (mean relevance of g).
    """

    group_loss: Tensor
    seen: Tensor
    relevance: Tensor

    def __init__(
        self,
        token_loss: TokenLoss,
        groups: Grouping = "relevance",
        group_count: PositiveInt = 10,
        reference: Literal["base", "sft", "current"] = "base",
        temperature: PositiveFloat = 5.0,
        prior: Literal["share", "uniform"] = "share",
        statistics: Literal["previous_step", "same_step"] = "previous_step",
        ema: ProbabilityBelowOne = 0.0,
        weights: Literal["worst_case", "inverse_relevance"] = "worst_case",
    ) -> None:
        super().__init__(token_loss)
        self.temperature, self.group_count, self.ema = temperature, group_count, ema
        self.groups, self.reference, self.prior, self.weights = groups, reference, prior, weights
        self.same_step = statistics == "same_step"
        self.needs_whole_step = self.same_step or token_loss.needs_whole_step
        self.register_buffer("group_loss", torch.zeros(group_count, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(group_count, dtype=torch.bool))
        self.step_weights = torch.zeros(group_count, dtype=torch.float64)

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss, scores the sample's titles under the reference model and groups their tokens."""
        super().prepare(preparation)
        assert isinstance(preparation.trie, Trie)
        self.preparation, self.trie = preparation, preparation.trie
        with self._reference(preparation) as backbone:
            self._assign_groups(backbone)

    def start_epoch(self, epoch: int) -> None:
        """Groups the tokens again if the reference is the model in training."""
        super().start_epoch(epoch)
        if self.reference == "current" and epoch > 0:
            self._assign_groups(self.preparation.backbone)

    def resume_epoch(self, epoch: int) -> None:
        """Restores the groups of the epoch, which depend on the weights at its start, from their relevance."""
        super().resume_epoch(epoch)
        if self.reference == "current":
            self._group_tokens()

    def totals(self, batch: Batch) -> Sums:
        """Returns the token loss's denominators and the number of supervised tokens of each group."""
        return self.token_loss.totals(batch) | {"group_tokens": self._count(self._group(batch))}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """Computes the batch's part of the mean token loss, each token weighted by its group.

        The weight is q_g divided by the group's share of the step's supervised tokens.
        """
        losses, statistics = self.token_loss.checked_losses(encoded, batch)
        group = self._group(batch)
        sums = {
            "group_losses": torch.zeros_like(self.group_loss).index_add(0, group, losses.detach().double()),
            "group_tokens": self._count(group),
        }
        if self.same_step:
            self._update(all_reduce_sums({name: value.clone() for name, value in sums.items()}))
        tokens = totals["group_tokens"]
        self.step_weights = self.group_weights(tokens)
        # Dividing by the group's share of the step makes the weights 1 on average over the tokens.
        weight = (self.step_weights * tokens.sum() / tokens.clamp(min=1))[group].to(losses.dtype)
        return Part((weight * losses).sum() / positive(totals["tokens"]), statistics | sums)

    def close_step(self, statistics: Sums) -> None:
        """Updates the state of the token loss and the group losses."""
        super().close_step(statistics)
        if not self.same_step:
            self._update(statistics)

    def monitors(self) -> Mapping[str, float | Tensor]:
        """Returns the token loss's scalars, and of each group its last weight q and its updated mean loss."""
        named = {f"group_weight/{number:02d}": value for number, value in enumerate(self.step_weights)}
        named |= {f"group_loss/{number:02d}": value for number, value in enumerate(self.group_loss)}
        return {**super().monitors(), **named}

    def report(self) -> dict[str, Any]:
        """Returns the token loss's report and the summary of each group, see `describe_groups`."""
        return super().report() | {"groups": self.described}

    def group_weights(self, tokens: Tensor) -> Tensor:
        """Computes the group weights q of a step.

        Source: a secondary source for the use of a closed-form Group DRO; formula, prior and statistics are our
        reading.

        Args:
            tokens: The step's supervised tokens in each group, float64 [groups].

        Returns:
            float64 [groups], 1 in sum; 0 for groups without tokens.
        """
        mass = tokens if self.prior == "share" else (tokens > 0).double()
        return torch.softmax(mass.log() + self._scores(), 0)

    @contextmanager
    def _reference(self, preparation: Preparation) -> Iterator[Backbone]:
        if self.reference == "sft" and preparation.stage is None:
            raise InputError(
                "objective.reference=sft needs a model tuned with SFT as the reference. Add stage=sft, from which "
                "training then starts as well, or set objective.reference=base."
            )
        if self.reference != "base":
            yield preparation.backbone
        elif preparation.stage is None or preparation.backbone.has_adapter:
            with preparation.backbone.without_adapter():
                yield preparation.backbone
        else:
            yield preparation.open_base()

    def _assign_groups(self, backbone: Backbone) -> None:
        data = self.preparation.catalogue
        prompt = data.history_free_prompt()
        titles = np.unique(data.sample_titles)
        # Relevance under weights in training is not cached: no other run has the same weights.
        cache_dir = None if self.reference == "current" else self.preparation.cache_dir
        relevance = title_relevance(backbone, prompt, [data.titles.of(title) for title in titles], cache_dir)
        values = torch.from_numpy(np.concatenate(relevance)).to(self.group_loss.device)
        self.register_buffer("relevance", values, persistent=self.reference == "current")
        self._group_tokens()

    def _group_tokens(self) -> None:
        data = self.preparation.catalogue
        tokens = supervised_tokens(data, np.unique(data.sample_titles), [self.relevance.cpu().numpy()])
        group = assign_groups(tokens, self.groups, self.group_count, self.preparation.seed)
        of_edge = torch.full((len(data.trie.edge_token),), -1)
        of_edge[torch.from_numpy(tokens.edge)] = torch.from_numpy(group)
        self.group_of_edge = of_edge.to(self.group_loss.device)
        self.described = describe_groups(tokens, group, self.group_count)
        self._announce()
        means = [entry.get("mean_relevance", 1.0) for entry in self.described]
        self.mean_relevance = self.group_loss.new_tensor(means)

    def _announce(self) -> None:
        sizes = [entry["tokens"] for entry in self.described]
        logger.info(
            "grouped by %s: %s groups of %s supervised tokens in all, largest group %s%s",
            self.groups, self.group_count, f"{sum(sizes):,}", f"{max(sizes):,}",
            f"; {sizes.count(0)} empty, because tied values share a group" if 0 in sizes else "",
        )  # fmt: skip

    def _group(self, batch: Batch) -> Tensor:
        """Returns the group of each supervised position, int64 [N]."""
        return self.group_of_edge[self.trie.edges(batch.node, batch.token)]

    def _count(self, group: Tensor) -> Tensor:
        return torch.zeros_like(self.group_loss).index_add(0, group, torch.ones_like(group, dtype=torch.float64))

    def _update(self, sums: Mapping[str, Tensor]) -> None:
        present = sums["group_tokens"] > 0
        mean = sums["group_losses"] / sums["group_tokens"].clamp(min=1)
        mean = torch.where(self.seen, self.ema * self.group_loss + (1 - self.ema) * mean, mean)
        self.group_loss.copy_(torch.where(present, mean, self.group_loss))
        self.seen |= present

    def _scores(self) -> Tensor:
        """Returns the log of the factor on the prior, float64 [groups]: L_g / tau, or -log(mean relevance)."""
        if self.weights == "inverse_relevance":
            return -self.mean_relevance.log()
        # A group that has not occurred yet is given the average loss.
        average = self.group_loss.where(self.seen, 0).sum() / self.seen.sum().clamp(min=1)
        return torch.where(self.seen, self.group_loss, average) / self.temperature
