"""What an objective is: it declares branches and positions, and maps their states to a loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.packing import Packed
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.errors import InputError

Choice = TypeVar("Choice", bound=str)
Sums = dict[str, Tensor]
"""Named sums and counts: they add up over micro-batches and ranks and are closed at the optimizer step."""


@dataclass(frozen=True)
class Batch:
    """One micro-batch: rows of prompts with branches, and the N positions that the objective supervises.

    at: int64 [N], flat column of the state that predicts; token: int64 [N], what it should predict; node: int64 [N],
    the trie node reached before it; row, branch: int64 [N], whose position it is; example: int64 [rows], the row of the
    training sample; response_tokens: int64 [], tokens of all responses with EOS, supervised or not.
    """

    packed: Packed
    at: Tensor
    token: Tensor
    node: Tensor
    row: Tensor
    branch: Tensor
    example: Tensor
    response_tokens: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class ListBatch(Batch):
    """A micro-batch of task rerank: branch 0 shows a list's candidates in their stored order, the others in another.

    Candidates are numbered by their place in the stored order; token and node speak of identifiers, which go with the
    places that the branch shows. identifiers: int64 [m], the token of each place; place:
    int64 [rows, branches, m], where each branch shows a candidate; target: int64 [rows, m], the candidates, the most
    relevant first; gains: float32 [rows, m]. In the branches other than 0 the m slots of the ranking are asked for.
    """

    identifiers: Tensor
    place: Tensor
    target: Tensor
    gains: Tensor


@dataclass(frozen=True)
class Preparation:
    """What an objective may see once, before training: the model that it starts from, the data, a place to cache.

    trie: on the model's device; data: the data module of the run's task, RerankData or, for an objective that ranks the
    catalogue, NextItemData; stage: the folder of the cell that training starts from, None for the backbone itself;
    open_base: opens the backbone as it was before any tuning, on the same device, a second model in memory;
    embed_titles: float32 [distinct titles, size] of length 1, by "reference", the dataset's reference model, or by a
    sentence encoder, named as in dataset.reference.encoder; what an objective passes stands in its key `embeddings`, by
    which the run's fingerprint knows of it; open_oracle: opens the fitted baseline that the run names
    as its oracle, None if it names none.
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
    """A micro-batch's part of the step: its share of the loss, and what it adds to the step's statistics."""

    loss: Tensor
    statistics: Sums = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """A training objective, chosen by `_target_`; its hyper-parameters are constructor arguments.

    State that moves between steps lives in buffers, so that checkpoints keep it.
    """

    tasks: ClassVar[Collection[str]] = ("next_item",)
    """The tasks that it can train for."""
    branch_count = 1
    """Branches of an example, as many as `branches` gives; known before `prepare`, for estimates of memory."""
    permutations = 0
    """In task rerank: other orders of a list's candidates that it compares with the stored one."""
    needs_whole_step = False
    """Its statistics need the step's rows in one micro-batch (accumulation 1)."""
    learning_rate_factor = 1.0
    """Of trainer.learning_rate: an objective that goes on from a tuned model takes smaller steps."""
    needs_oracle = False
    """The run must name a baseline that it asks (stage.oracle)."""
    most_epochs: int | None = None
    """It trains for trainer.epochs, but for no more than these."""

    def prepare(self, preparation: Preparation) -> None:
        """Looks once at model and data before training: relevance, reference log-probabilities, rejected items."""

    def branches(self, example: int, target: int) -> list[int]:
        """The titles that continue an example's prompt, one branch each; `target` is the title of its target."""
        return [target]

    @abstractmethod
    def supervised(self, fan_out: Tensor) -> Tensor:
        """bool [length]: which tokens of a response are supervised, from their fan-outs (int [length])."""

    @abstractmethod
    def totals(self, batch: Batch) -> Sums:
        """Denominators that the batch adds, known before the forward pass; summed over the whole step."""

    @abstractmethod
    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """The batch's part of the loss; totals are those of the whole step, over micro-batches and ranks."""

    def start_epoch(self, epoch: int) -> None:
        """Looks again before each epoch, 0 the first, which `prepare` has just come before."""

    def close_step(self, statistics: Sums) -> None:
        """Moves the state once an optimizer step, from the statistics of all micro-batches and ranks."""

    def monitors(self) -> dict[str, float]:
        """Named scalars to log after each step."""
        return {}

    def report(self) -> dict[str, Any]:
        """What training.json should say of the preparation."""
        return {}


class TokenLoss(Objective):
    """An objective that is the mean of a loss per supervised token of the target.

    A subclass says which tokens it supervises and maps their states to losses; GDRT takes any of them, by everything
    but `branches` and `forward`.
    """

    tasks = ("next_item", "rerank")
    supervises: ClassVar[Literal["response", "branching"]] = "response"
    """"response": every token with EOS; "branching": where the trie leaves more than one choice."""

    @abstractmethod
    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """float32 [N], the loss of each supervised token; and what it adds to the step's statistics."""

    def supervised(self, fan_out: Tensor) -> Tensor:
        """As `supervises` declares."""
        return fan_out > 1 if self.supervises == "branching" else torch.ones_like(fan_out, dtype=torch.bool)

    def checked_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """`token_losses`. Raises InputError when there is not one loss for each supervised token."""
        losses, statistics = self.token_losses(encoded, batch)
        if losses.shape != batch.token.shape:
            raise InputError(
                f"{type(self).__name__}.token_losses gave losses of shape {list(losses.shape)} for {len(batch.token)} "
                f"supervised tokens: return one loss for each, shape [{len(batch.token)}]"
            )
        return losses, statistics

    def totals(self, batch: Batch) -> Sums:
        """The number of supervised tokens."""
        return {"tokens": torch.full((), len(batch.at), device=batch.at.device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """The batch's share of the mean over the step's supervised tokens."""
        losses, statistics = self.checked_losses(encoded, batch)
        return Part(losses.sum() / totals["tokens"].clamp(min=1), statistics)


def one_of(name: str, value: Choice, *choices: str) -> Choice:
    """The value of an objective's setting. Raises ValueError, which says the choices, when it is none of them."""
    if value not in choices:
        raise ValueError(f"objective.{name}={value}: choose one of {', '.join(choices)}")
    return value


def over_ranks(sums: Sums) -> Sums:
    """The same sums over all ranks, which must all have the same names."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return sums
    # All of them in one message; float64 holds counts exactly.
    flat = torch.cat([value.double().reshape(-1) for value in sums.values()])
    if not _counts.get():
        flat.zero_()
    distributed.all_reduce(flat)
    parts = flat.split([value.numel() for value in sums.values()])
    return {name: part.view_as(value).to(value.dtype) for (name, value), part in zip(sums.items(), parts, strict=True)}


@contextmanager
def filler() -> Iterator[None]:
    """Within it, what this rank adds over ranks counts nothing: it runs a batch only because the others run one."""
    token = _counts.set(False)
    try:
        yield
    finally:
        _counts.reset(token)


_counts = ContextVar("_counts", default=True)
