"""GRPO: reinforcement learning on groups of titles that the model's own constrained search returns.

Source: GRPO is from arXiv 2402.03300. Its form for recommendation, with groups by constrained beam search and a reward
for ranking, is that of ReRe (arXiv 2510.12211) and its official code.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.gumbel_noise import row_seeds
from llmrec.decoding.rank import rank_titles
from llmrec.errors import InputError
from llmrec.objectives.base import Objective, Part, Sums, TokenLoss
from llmrec.objectives.batch import Batch, Branch, Example
from llmrec.objectives.msl import MSL
from llmrec.objectives.preference import Scores
from llmrec.objectives.preparation import Preparation, encoded_batches
from llmrec.objectives.rejected.base import first_equal_titles
from llmrec.objectives.sft import SFT
from llmrec.settings.types import NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt

ADVANTAGE_EPS = 1e-4
"""Added to a group's standard deviation, as in the official code of ReRe."""


class GRPO(Objective):
    """Group relative policy optimization on distinct titles of the catalogue.

    For each row of a step, a group of G titles is taken from the current model. A title's advantage A is its reward
    minus the group's mean reward, divided by the group's standard deviation. The loss of a title is the mean over its
    supervised tokens of

        -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) + kl * (exp(d) - d - 1),

    with ratio = pi(token) / pi_old(token) and d = log ref(token) - log pi(token). pi_old is the model that the group
    was taken from, and ref the model that training starts from. A group without the target has equal rewards and
    therefore only the KL term.

    Args:
        group: G, the number of titles per row.
        rollout: Take the G best titles of a constrained beam search ("beam"), or sample G titles without replacement
            from the model's distribution over the catalogue ("sample"). Both normalize over the valid tokens.
        temperature: Divides the logits of the rollouts, not those of the loss.
        ranking: Weight of the reward that penalizes wrong titles by their rank; see `rewards`.
        add_target: Whether the target replaces the last title of a group without it.
        clip: Largest deviation of the ratio from 1 that is rewarded. It has no effect if `inner_steps` is 1.
        kl: Strength of the KL penalty that keeps the model close to the reference; 0 needs no reference.
        inner_steps: Number of optimizer steps on the groups of a step.
        scores: Normalize log-probabilities over the whole vocabulary ("vocab") or over the valid tokens ("trie").
        learning_rate_factor: Factor on trainer.learning_rate.
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    samples_responses = True

    def __init__(
        self,
        group: PositiveInt = 16,
        rollout: Literal["beam", "sample"] = "beam",
        temperature: PositiveFloat = 1.0,
        ranking: NonNegativeFloat = 1.0,
        add_target: bool = False,
        clip: OpenFraction = 0.2,
        kl: NonNegativeFloat = 1e-3,
        inner_steps: PositiveInt = 1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 2,
    ) -> None:
        super().__init__()
        self.group, self.rollout, self.temperature = group, rollout, temperature
        self.ranking, self.add_target = ranking, add_target
        self.clip, self.kl, self.inner_steps = clip, kl, inner_steps
        self.branch_count = group
        self.learning_rate_factor, self.max_epochs = learning_rate_factor, max_epochs
        self.token_loss: TokenLoss = SFT() if scores == "vocab" else MSL(temperature=1.0)
        self.epoch = 0
        self.monitored: dict[str, Tensor] = {}

    @staticmethod
    def validate(settings: Mapping[str, object]) -> None:
        """Checks that a group has at least two titles to compare."""
        if settings.get("group") == 1:
            raise ValueError("group=1: the advantage compares the titles of a group, give at least 2")

    def prepare(self, preparation: Preparation) -> None:
        """Copies the reference model's weights.

        Raises:
            InputError: If the catalogue has fewer distinct titles than a group.
        """
        self.preparation = preparation
        self.token_loss.prepare(preparation)
        data = preparation.catalogue
        self.target = first_equal_titles(data)[data.sample_titles]
        titles = len(data.trie.leaf_title)
        if titles < self.group:
            raise InputError(
                f"objective.group={self.group}: the catalogue of {data.dataset.name} has only {titles} titles with "
                f"different tokens. Set objective.group to at most {titles}"
            )
        trained = preparation.backbone.named_parameters() if self.kl else ()
        self.reference = {name: weight.detach().clone() for name, weight in trained if weight.requires_grad}

    def start_epoch(self, epoch: int) -> None:
        """Sets the epoch, which seeds the rollouts."""
        self.epoch = epoch

    def sample_responses(self, rows: np.ndarray) -> None:
        """Takes a group of titles for each row from the current model and computes their advantages."""
        backbone = self.preparation.backbone
        self.titles = self._rollouts(rows)
        self.row_of = {int(row): index for index, row in enumerate(rows)}
        self.index = torch.full((len(self.target),), -1, device=backbone.device)
        self.index[torch.from_numpy(rows).to(backbone.device)] = torch.arange(len(rows), device=backbone.device)
        rewards = group_rewards(self.titles == self.target[rows][:, None], self.ranking)
        self.rewards = torch.from_numpy(rewards).to(backbone.device)
        self.advantages = group_advantages(self.rewards)
        self.group_titles = torch.from_numpy(self.titles).to(backbone.device)
        self.old = self._token_scores(rows) if self.inner_steps > 1 else None
        if self.kl:
            with _weights(backbone, self.reference):
                self.reference_scores = self._token_scores(rows)

    def branches(self, example: Example) -> list[Branch]:
        """Returns the prompt with each title of its group."""
        titles = self.titles[self.row_of[example.index]].tolist()
        return [Branch(example.prompt, example.title(title)) for title in titles]

    def supervised(self, fan_out: Tensor) -> Tensor:
        """Supervises every token of a title, or with "trie" scores those at positions with several valid tokens."""
        return self.token_loss.supervised(fan_out)

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        return self.token_loss.batch_indices(batch, trie)

    def totals(self, batch: Batch) -> Sums:
        """Returns the number of rows."""
        return {"rows": torch.full((), len(batch.example), device=batch.example.device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """Computes the batch's part of the mean loss over the titles of the step's groups."""
        score = -self.token_loss.checked_losses(encoded, batch)[0]
        row = self.index[batch.example]
        position = (row[batch.row], _position_in_row(batch))
        advantage = self.advantages[row[batch.row], batch.branch]
        ratio = torch.exp(score - (score.detach() if self.old is None else self.old[position]))
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        losses = -torch.minimum(ratio * advantage, clipped * advantage)
        kl = kl_estimate(score, self.reference_scores[position]) if self.kl else torch.zeros_like(score)
        title = batch.row * self.group + batch.branch
        weight = 1 / _counts(title, len(row) * self.group)[title] / self.group
        loss = (weight * (losses + self.kl * kl)).sum() / totals["rows"]
        return Part(loss, self._statistics(row, (weight * kl).sum()))

    def close_step(self, statistics: Sums) -> None:
        """Stores the step's means for `monitors`."""
        values = {name: statistics[name] for name in ("reward", "zero_advantage", "kl")}
        values["diversity"] = (statistics["titles"] > 0).sum() / self.group
        self.monitored = {name: value / statistics["rows"] for name, value in values.items()}

    def monitors(self) -> Mapping[str, Tensor]:
        """Returns means over the last step.

        reward: of all titles; zero_advantage: the share of groups whose titles have equal rewards; kl: the estimated
        KL divergence from the reference; diversity: the share of different titles among those of all groups.
        """
        return self.monitored

    def _statistics(self, row: Tensor, kl: Tensor) -> Sums:
        rewards = self.rewards[row]
        titles = self.group_titles[row].flatten()
        return {
            "rows": torch.full((), len(row), dtype=torch.float64, device=row.device),
            "reward": rewards.mean(dim=1).double().sum(),
            "zero_advantage": (self.advantages[row] == 0).all(dim=1).double().sum(),
            "kl": kl.detach().double(),
            "titles": _counts(titles, len(self.preparation.catalogue.titles)).double(),
        }

    def _rollouts(self, rows: np.ndarray) -> np.ndarray:
        """Returns distinct titles for each row, best or first drawn first, int64 [rows, group]."""
        backbone, data = self.preparation.backbone, self.preparation.catalogue
        trie, training = self.preparation.trie, backbone.training
        assert isinstance(trie, Trie)
        settings = BeamSearch(self.group, "trie", temperature=self.temperature)
        seeds = row_seeds(self.preparation.seed, self.epoch, rows) if self.rollout == "sample" else None
        found = rank_titles(backbone, trie, data.sample.prompts.take(rows), settings, seeds=seeds)[0].astype(np.int64)
        backbone.train(training)
        if self.add_target:
            target = self.target[rows]
            is_found = (found == target[:, None]).any(axis=1)
            found[:, -1] = np.where(is_found, found[:, -1], target)
        return found

    def _token_scores(self, rows: np.ndarray) -> Tensor:
        """Returns the log-probability of each supervised token under the current weights, float32 [rows, most]."""
        data, backbone = self.preparation.catalogue, self.preparation.backbone
        found = torch.zeros((len(rows), self.group * data.trie.max_length), device=backbone.device)
        for _, batch, encoded in encoded_batches(self.preparation, rows):
            losses = self.token_loss.checked_losses(encoded, batch)[0]
            found[self.index[batch.example][batch.row], _position_in_row(batch)] = -losses.float()
        return found


def group_rewards(is_hit: np.ndarray, ranking: float) -> np.ndarray:
    """Returns the reward of each title: 1 for the target, and a penalty for the wrong titles of a group that has it.

    The wrong title at rank i from 0 gets -ranking * a_i / (a_0 + ... + a_(G-1)) with a_i = 1 / log2(i + 2).

    Args:
        is_hit: Whether each title is the target, bool [rows, G], titles in order of rank.
        ranking: Weight of the penalty.

    Returns:
        float32 [rows, G].
    """
    discount = 1 / np.log2(np.arange(is_hit.shape[1]) + 2)
    penalty = ranking * discount / discount.sum()
    return np.where(is_hit, 1, -penalty * is_hit.any(axis=1, keepdims=True)).astype(np.float32)


def group_advantages(rewards: Tensor) -> Tensor:
    """Returns the rewards less their group's mean, divided by its sample standard deviation, float32 [rows, G]."""
    centered = rewards - rewards.mean(dim=1, keepdim=True)
    return centered / (rewards.std(dim=1, keepdim=True) + ADVANTAGE_EPS)


def kl_estimate(score: Tensor, reference: Tensor) -> Tensor:
    """Returns exp(d) - d - 1 with d = reference - score, an estimate of KL(pi || ref) that is never negative."""
    difference = reference - score
    return difference.exp() - difference - 1


def _position_in_row(batch: Batch) -> Tensor:
    """Returns the number of supervised positions of the same row before each, int64 [N]."""
    count = _counts(batch.row, len(batch.example))
    start = count.cumsum(0) - count
    return torch.arange(len(batch.row), device=batch.row.device) - start[batch.row]


def _counts(index: Tensor, size: int) -> Tensor:
    """Returns how often each of the numbers 0 to size - 1 occurs, int64 [size]; torch.bincount would wait for a GPU."""
    return index.new_zeros(size).index_add_(0, index, torch.ones_like(index))


@contextmanager
def _weights(backbone: Backbone, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Puts other values into trained weights for the time of the context."""
    trained = {name: weight for name, weight in backbone.named_parameters() if name in weights}
    kept = {name: weight.detach().clone() for name, weight in trained.items()}
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(weights[name])
    yield
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(kept[name])
