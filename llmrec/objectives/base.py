"""The interface of training objectives.

An objective declares the prompts and responses of an example (its branches) and which of their tokens it supervises,
and maps the model's hidden states at these positions to a loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.errors import InputError
from llmrec.objectives.batch import Batch, Branch, Example
from llmrec.objectives.preparation import Preparation

Sums = dict[str, Tensor]
"""Named sums and counts. They are added up over micro-batches and ranks until the optimizer step."""


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
        prompt_count: Number of different prompts among these branches.
        needs_whole_step: Whether all rows of a step must be in one micro-batch (accumulation 1).
        samples_responses: Whether branches are sampled from the current model. A step's batches are then built only
            after `sample_responses`, not ahead of time.
        inner_steps: Number of optimizer steps on the same rows and responses.
        learning_rate_factor: Factor on trainer.learning_rate. Objectives that continue from a tuned model use a factor
            below 1.
        needs_oracle: Whether the run must name a baseline as its oracle (stage.oracle).
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    tasks: Collection[str] = ("next_item", "candidates")
    branch_count = 1
    prompt_count = 1
    needs_whole_step = False
    samples_responses = False
    inner_steps = 1
    learning_rate_factor = 1.0
    needs_oracle = False
    max_epochs: int | None = None

    def prepare(self, preparation: Preparation) -> None:
        """Computes what training needs from the starting model and the data, such as rejected titles."""

    def branches(self, example: Example) -> Sequence[Branch]:
        """Returns the branches of an example: by default its prompt with its target.

        Args:
            example: A row of the training sample.
        """
        return [Branch(example.prompt, example.target)]

    @abstractmethod
    def supervised(self, fan_out: Tensor) -> Tensor:
        """Returns which tokens of a response are supervised, each by its number of alternatives.

        Args:
            fan_out: Number of valid tokens in place of each token, int [length]. The vocabulary's size for free text.

        Returns:
            bool [length].
        """

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        """Computes what the loss needs of the batch's tokens and the trie, when the batch is built.

        Tensors whose size depends on values (`torch.nonzero`, `torch.unique`, a mask as index, `Trie.children`) would
        make the host wait for a GPU in `totals` and `forward`. Computed here, they are read from `batch.indices`. An
        objective that applies a token loss adds the token loss's own.

        Args:
            batch: The batch, on the CPU.
            trie: The trie of valid responses, on the CPU.

        Returns:
            Named tensors, which are moved to the training device with the batch.
        """
        return {}

    def with_indices(self, batch: Batch, trie: Trie | Permutations) -> Batch:
        """Returns the batch with its indices, computed now if it was built without them."""
        return batch if batch.indices else replace(batch, indices=self.batch_indices(batch, trie))

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

    def divisor(self, statistics: Sums) -> float | Tensor:
        """Returns what the step's loss and gradients are divided by once all backward passes are done, a scalar.

        It is for denominators that depend on the model's outputs; others belong into `totals`.

        Args:
            statistics: The statistics of all micro-batches and ranks.
        """
        return 1.0

    def start_epoch(self, epoch: int) -> None:
        """Updates before each epoch what depends on the current weights. Epoch 0 directly follows `prepare`."""

    def resume_epoch(self, epoch: int) -> None:
        """Restores what `start_epoch` computed, in a training that resumes in the middle of an epoch.

        By default it is computed again, from the checkpoint's weights. An objective for which it depends on the weights
        at the start of the epoch keeps it in buffers, which are loaded by now, and overrides this method.
        """
        self.start_epoch(epoch)

    def sample_responses(self, rows: np.ndarray) -> None:
        """Samples the responses of a step from the current model, if `samples_responses` is set.

        Args:
            rows: This rank's rows of the step, int [n], each once.
        """

    def close_step(self, statistics: Sums) -> None:
        """Updates the state once per optimizer step, from the statistics of all micro-batches and ranks.

        The gradients are done then, and the weights not yet updated.
        """

    def monitors(self) -> Mapping[str, float | Tensor]:
        """Returns named scalars to log after each step.

        Tensors are copied to the host all at once, whereas each `float(tensor)` would wait for a GPU.
        """
        return {}

    @property
    def training_temperature(self) -> float:
        """What divides the logits in the loss, by which decoding.temperature=training divides them too."""
        return 1.0

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

    tasks: Collection[str] = ("next_item", "candidates", "rerank")
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
        return Part(losses.sum() / positive(totals["tokens"]), statistics)


class OverTokenLoss(Objective):
    """Base of objectives that change how the losses of a token loss are combined, and leave the rest to it.

    A token loss whose own denominator depends on the model's outputs (`Objective.divisor`) is taken with its weighted
    losses, without that denominator.

    Args:
        token_loss: The token loss.
    """

    def __init__(self, token_loss: TokenLoss) -> None:
        super().__init__()
        self.token_loss = token_loss
        self.needs_whole_step = token_loss.needs_whole_step

    def prepare(self, preparation: Preparation) -> None:
        """Prepares the token loss."""
        self.token_loss.prepare(preparation)

    def supervised(self, fan_out: Tensor) -> Tensor:
        return self.token_loss.supervised(fan_out)

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        """Returns the token loss's indices."""
        return self.token_loss.batch_indices(batch, trie)

    def start_epoch(self, epoch: int) -> None:
        self.token_loss.start_epoch(epoch)

    def resume_epoch(self, epoch: int) -> None:
        """Resumes the token loss's epoch."""
        self.token_loss.resume_epoch(epoch)

    def close_step(self, statistics: Sums) -> None:
        """Updates the state of the token loss."""
        self.token_loss.close_step(statistics)

    def monitors(self) -> Mapping[str, float | Tensor]:
        """Returns the token loss's scalars."""
        return self.token_loss.monitors()

    @property
    def training_temperature(self) -> float:
        return self.token_loss.training_temperature

    def report(self) -> dict[str, Any]:
        """Returns the token loss's report."""
        return self.token_loss.report()


def positive(denominator: Tensor) -> Tensor:
    """Returns a number of tokens, or a sum of their weights, as a divisor; a step without tokens has loss 0."""
    return denominator.clamp(min=1e-6)
