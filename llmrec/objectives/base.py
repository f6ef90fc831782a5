"""The interface of training objectives, and the data that they exchange with the training loop.

An objective declares which titles continue a prompt (its branches) and which of their tokens it supervises, and maps
the model's hidden states at these positions to a loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.packing import Packed
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.errors import InputError

Choice = TypeVar("Choice", bound=str)
Sums = dict[str, Tensor]
"""Named sums and counts. They are added up over micro-batches and ranks until the optimizer step."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch: prompts with their branches, and the N token positions that the objective supervises.

    A row is one example of the training sample: its prompt and the branches that continue it.

    Attributes:
        packed: The input tokens of all rows.
        state_index: Where the state that predicts each token is, an index into the flattened packed columns, int64 [N].
        token: The token to predict, int64 [N].
        node: The trie node reached before the token, int64 [N].
        row: The row of each position, int64 [N].
        branch: The branch of each position within its row, int64 [N].
        example: The index of each row in the training sample, int64 [rows].
        response_tokens: The number of tokens of all responses, EOS included, supervised or not, int64 [].
    """

    packed: Packed
    state_index: Tensor
    token: Tensor
    node: Tensor
    row: Tensor
    branch: Tensor
    example: Tensor
    response_tokens: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Returns the batch on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class ListBatch(Batch):
    """A micro-batch of task rerank: a prompt shows m candidates, and the response ranks them by their identifiers.

    Candidates are numbered by their position in the stored order. Branch 0 shows a list in that order, the other
    branches show it in another one. `token` and `node` refer to identifiers, which belong to the positions at which the
    branch shows its candidates. In branches other than 0, only the m tokens of the ranking are supervised, without EOS.

    Attributes:
        identifiers: The token that names each position, int64 [m].
        place: The position at which each branch shows each candidate, int64 [rows, branches, m].
        target: The candidates by relevance, the most relevant first, int64 [rows, m].
        gains: The gain of each candidate, float32 [rows, m].
    """

    identifiers: Tensor
    place: Tensor
    target: Tensor
    gains: Tensor


@dataclass(frozen=True)
class Preparation:
    """What an objective can use once, before training: the starting model, the data and a cache.

    Attributes:
        backbone: The model that training starts from.
        open_base: Opens the backbone as it was before any tuning, on the same device. This is a second model in memory.
        trie: The trie of valid responses, on the model's device.
        data: The data module of the run's task: `RerankData`, or `NextItemData` for an objective that ranks the
            catalogue.
        cache_dir: The folder of llmrec's disk cache.
        stage: The folder of the run that training starts from, None if it starts from the backbone itself.
        seed: The seed of the run.
        embed_titles: Returns float32 [distinct titles, size] embeddings of unit length, made by the dataset's reference
            model ("reference") or by a sentence encoder, named as in dataset.reference.encoder. An objective must take
            this name from a setting called `embeddings`, because the key of the run is computed from that setting.
        open_oracle: Opens the fitted baseline that the run uses as its oracle. None if the run has no oracle.
    """

    backbone: Backbone
    open_base: Callable[[], Backbone]
    trie: Trie | Permutations
    data: Any
    cache_dir: Path
    stage: Path | None
    seed: int
    embed_titles: Callable[[str], np.ndarray]
    open_oracle: Callable[[], object] | None = None


@dataclass(frozen=True)
class Part:
    """The contribution of one micro-batch to an optimizer step.

    Attributes:
        loss: Its share of the step's loss, a scalar.
        statistics: What it adds to the step's statistics.
    """

    loss: Tensor
    statistics: Sums = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """A training objective, selected by `_target_`. Its hyper-parameters are constructor arguments.

    State that changes between steps is kept in buffers, so that checkpoints contain it.

    Attributes:
        tasks: The tasks that the objective can train for.
        branch_count: Number of branches that `branches` returns for an example. It must be known before `prepare`,
            because memory is estimated from it.
        permutations: In task rerank, how many other orders of a list's candidates are compared with the stored one.
        needs_whole_step: Whether all rows of a step must be in one micro-batch (accumulation 1).
        learning_rate_factor: Factor on trainer.learning_rate. Objectives that continue from a tuned model use a factor
            below 1.
        needs_oracle: Whether the run must name a baseline as its oracle (stage.oracle).
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    tasks: ClassVar[Collection[str]] = ("next_item",)
    branch_count = 1
    permutations = 0
    needs_whole_step = False
    learning_rate_factor = 1.0
    needs_oracle = False
    max_epochs: int | None = None

    def prepare(self, preparation: Preparation) -> None:
        """Computes what training needs from the starting model and the data, such as rejected titles."""

    def branches(self, example: int, target: int) -> list[int]:
        """Returns the titles that continue an example's prompt, one per branch.

        Args:
            example: Index of the row in the training sample.
            target: The distinct title of the row's target.

        Returns:
            Distinct titles; by default the target alone.
        """
        return [target]

    @abstractmethod
    def supervised(self, fan_out: Tensor) -> Tensor:
        """Returns which tokens of a response are supervised.

        Args:
            fan_out: Number of valid tokens at each position of the response, int [length].

        Returns:
            bool [length].
        """

    @abstractmethod
    def totals(self, batch: Batch) -> Sums:
        """Returns the batch's part of the loss's denominators, which are known before the forward pass.

        They are summed over the whole step and passed to `forward`.
        """

    @abstractmethod
    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """Computes the batch's part of the step's loss.

        Args:
            encoded: The model's states at the N supervised positions.
            batch: The micro-batch.
            totals: The sums of `totals` over all micro-batches and ranks of the step.
        """

    def start_epoch(self, epoch: int) -> None:
        """Updates before each epoch what depends on the current weights. Epoch 0 directly follows `prepare`."""

    def close_step(self, statistics: Sums) -> None:
        """Updates the state once per optimizer step, from the statistics of all micro-batches and ranks."""

    def monitors(self) -> dict[str, float]:
        """Returns named scalars to log after each step."""
        return {}

    def report(self) -> dict[str, Any]:
        """Returns facts about the preparation to be recorded in training.json."""
        return {}


class TokenLoss(Objective):
    """Base of objectives whose loss is a mean over the target's supervised tokens.

    A subclass chooses the supervised tokens and maps their states to losses. GDRT can be applied to any such subclass;
    it uses all methods except `branches` and `forward`.

    Attributes:
        supervises: Which tokens are supervised: all tokens of the response, EOS included ("response"), or those at
            positions where the trie has more than one valid token ("branching").
    """

    tasks = ("next_item", "rerank")
    supervises: ClassVar[Literal["response", "branching"]] = "response"

    @abstractmethod
    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns the loss of each supervised token, float32 [N], and what to add to the step's statistics."""

    def supervised(self, fan_out: Tensor) -> Tensor:
        return fan_out > 1 if self.supervises == "branching" else torch.ones_like(fan_out, dtype=torch.bool)

    def checked_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns `token_losses` after checking their shape.

        Raises:
            InputError: If there is not exactly one loss per supervised token.
        """
        losses, statistics = self.token_losses(encoded, batch)
        if losses.shape != batch.token.shape:
            raise InputError(
                f"{type(self).__name__}.token_losses returned losses of shape {list(losses.shape)} for "
                f"{len(batch.token)} supervised tokens. Return one loss per token, shape [{len(batch.token)}]."
            )
        return losses, statistics

    def totals(self, batch: Batch) -> Sums:
        """Returns the number of supervised tokens."""
        return {"tokens": torch.full((), len(batch.state_index), device=batch.state_index.device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        losses, statistics = self.checked_losses(encoded, batch)
        return Part(losses.sum() / totals["tokens"].clamp(min=1), statistics)


def check_choice(name: str, value: Choice, *choices: str) -> Choice:
    """Returns the value of an objective's setting if it is one of the choices.

    Raises:
        ValueError: If it is not. The message lists the choices.
    """
    if value not in choices:
        raise ValueError(f"objective.{name}={value}: choose one of {', '.join(choices)}")
    return value
