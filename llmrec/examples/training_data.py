"""The base class of all tasks' data modules: assigns rows to steps and micro-batches, and divides them among ranks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from llmrec.backbones.upload import move_together
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.steps import LengthGroupedSteps
from llmrec.examples.batches import build_batch
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Batch, Example
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts

PADDING_ROWS = np.array([0])
"""The rows of a padding batch."""


@dataclass(frozen=True)
class Step:
    """This rank's micro-batches of an optimizer step.

    Attributes:
        batches: The micro-batches.
        padding_batches: Number of padding batches at the end of `batches`. They do not count towards the loss: the rank
            runs them so that all ranks run the same number of micro-batches.
    """

    batches: list[Batch]
    padding_batches: int

    def to(self, device: torch.device) -> "Step":
        """Returns the same step on another device. The tensors of all micro-batches are moved together."""
        moved = iter(move_together([tensor for batch in self.batches for tensor in batch.tensors()], device))
        return Step([batch.with_tensors(moved) for batch in self.batches], self.padding_batches)

    def weighted_batches(self) -> list[tuple[Batch, float]]:
        """Returns each micro-batch with its weight: 0 for padding batches, 1 for all others."""
        real = len(self.batches) - self.padding_batches
        return [(batch, float(index < real)) for index, batch in enumerate(self.batches)]


class StepLoader:
    """Iterates over the steps of an epoch and builds the batches of each when it is needed, or earlier on request.

    On a GPU, the host builds the next step's batches while it would only wait for the current step (`build_next`).
    Lightning stores `state_dict` in checkpoints, and loads it where a training resumes in the middle of an epoch.
    """

    def __init__(self, steps: Iterable[list[np.ndarray]], build: Callable[[list[np.ndarray]], Any]) -> None:
        """Sets up the epoch.

        Args:
            steps: The rows of each micro-batch of each step, int [micro rows] each.
            build: Returns the element of a step.
        """
        self.steps, self.build = list(steps), build
        self._start = self._taken = 0
        self._remaining: Iterator[list[np.ndarray]] = iter(())
        self._built: list[Any] = []

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Any]:
        remaining = self.steps[self._start :]
        self._taken, self._start = self._start, 0
        self._remaining, self._built = iter(remaining), []
        for _ in remaining:
            self.build_next()
            self._taken += 1
            yield self._built.pop()

    def state_dict(self) -> dict[str, int]:
        """Returns the number of steps that have been taken."""
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Has the next iteration begin after the steps that had been taken."""
        self._start = state["taken"]

    def build_next(self) -> None:
        """Builds the next step, unless it is built already or the epoch is over."""
        if not self._built:
            self._built = [self.build(parts) for parts in islice(self._remaining, 1)]


class TrainingData(LightningDataModule):
    """Loads training rows as micro-batches of optimizer steps, and the indices of validation rows.

    The data module of a task defines what a row is: `sample_prompts`, `response_tokens`, `selection_rows` and
    `example`.

    Attributes:
        dataset: The dataset.
        prompt: The prompt of the run's task, for the backbone's tokenizer.
        config: The resolved run config.
        objective: The objective to train.
        trie: The trie of valid responses, on the CPU.
        epoch: The current epoch; seeds what is drawn anew each epoch.
        loader: The loader of the current epoch's steps.
        checkpointing: Whether the model recomputes its activations (gradient checkpointing), in which case rows cannot
            share columns; set by `fit_into_memory`.
        micro_batch_limit: Maximum number of rows of a micro-batch after the memory ran out; None before that.
        micro_batch_tokens: Maximum number of tokens of a micro-batch with trainer.micro_batch_size=auto; set by
            `fit_into_memory`.
    """

    objective: Objective
    trie: Trie | Permutations
    loader: StepLoader

    def __init__(self, dataset: Dataset, prompt: Prompt, config: DictConfig) -> None:
        super().__init__()
        self.dataset, self.prompt, self.config = dataset, prompt, config
        self.epoch = 0
        self.checkpointing = False
        self.micro_batch_limit: int | None = None
        self.micro_batch_tokens = 0

    @abstractmethod
    def setup_training(self, objective: Objective, validation: Any) -> None:
        """Tokenizes the training and validation rows, and gets the supervised positions from the objective.

        Args:
            objective: The objective to train.
            validation: Rows or lists by which a checkpoint is selected.
        """

    @property
    @abstractmethod
    def sample_prompts(self) -> Prompts:
        """The prompts of the training rows."""

    @property
    def room(self) -> str:
        """The limit of a prompt's length and what determines it, for messages."""
        return f"backbone.max_length={self.config.backbone.max_length}"

    @property
    @abstractmethod
    def response_tokens(self) -> int:
        """Number of input tokens of a response; about 95 % of the responses have no more than this."""

    @property
    @abstractmethod
    def selection_rows(self) -> Rows:
        """The validation rows by which a checkpoint is selected; for candidate lists, the row of each list."""

    @property
    def validation_users(self) -> np.ndarray:
        """The user of each of `selection_rows`, str [rows]."""
        return self.selection_rows.user

    @property
    def validation_rows(self) -> int:
        """Number of validation rows."""
        return len(self.validation_users)

    @abstractmethod
    def example(self, row: int) -> Example:
        """Returns a training row, from which the objective makes its branches."""

    def batch(self, rows: np.ndarray) -> Batch:
        """Returns the micro-batch of some training rows (int [rows]), with the objective's indices."""
        branches = [self.objective.branches(self.example(int(row))) for row in rows]
        return self.objective.with_indices(build_batch(rows, branches, self.shared_columns), self.trie)

    @property
    def added_tokens(self) -> int:
        """Number of tokens that an example's branches add to its prompt: their responses, and the other prompts.

        A row's prompts have the shared tokens in common. The other prompts are counted as the longest of the sample.
        """
        other_prompts = (self.objective.prompt_count - 1) * int(self.sample_prompts.lengths.max() - self.shared_columns)
        return self.objective.branch_count * self.response_tokens + other_prompts

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps per epoch."""
        return len(self._steps(epoch=0)) * self.objective.inner_steps

    @property
    def shared_columns(self) -> int:
        """Number of tokens that all training prompts begin with; 0 if these cannot be encoded once for all rows."""
        # Layers with gradient checkpointing discard the cache that holds the shared columns.
        return 0 if self.checkpointing else self._common_tokens

    @cached_property
    def _common_tokens(self) -> int:
        return len(self.sample_prompts.shared_prefix())

    def micro_batch_rows(self, rows: np.ndarray) -> int:
        """Returns the number of rows of a micro-batch for some training rows (int [rows])."""
        trainer = self.config.trainer
        if trainer.micro_batch_size != "auto":
            return int(trainer.micro_batch_size or trainer.batch_size)
        if self.objective.needs_whole_step:
            return int(trainer.batch_size)
        return max(1, self.micro_batch_tokens // self.max_row_tokens(rows))

    def max_row_tokens(self, rows: np.ndarray) -> int:
        """Returns the number of tokens of the longest of some training rows (int [rows]), without shared tokens."""
        return int(self.sample_prompts.lengths[rows].max()) - self.shared_columns + self.added_tokens

    def with_halved_micro_batches(self, step: Step) -> Step:
        """Returns the step in micro-batches of half as many rows, and limits all following steps to this size.

        Args:
            step: A step of a run on a single rank, which has no padding batches. At least one of its micro-batches must
                have more than one row.
        """
        self.micro_batch_limit = max(len(batch.example) for batch in step.batches) // 2
        return self.step([batch.example.cpu().numpy() for batch in step.batches])

    def step(self, parts: Sequence[np.ndarray]) -> Step:
        """Returns this rank's micro-batches of a step, given the rows of each (int [micro rows], none for padding)."""
        if self.micro_batch_limit is not None:
            # The parts of this epoch's steps were made before the memory ran out, so they may be too large.
            limit = self.micro_batch_limit
            parts = [rows[i : i + limit] for rows in parts for i in range(0, len(rows), limit)]
        padding_batches = sum(len(rows) == 0 for rows in parts)
        return Step([self.batch(rows if len(rows) else PADDING_ROWS) for rows in parts], padding_batches)

    def train_dataloader(self) -> StepLoader:
        """Returns a loader with one element per step: this rank's micro-batches.

        For an objective that samples responses from the current model, the element is the rows of each micro-batch,
        from which `step` builds the batches once the responses are there.
        """
        assert self.trainer is not None
        self.epoch = self.trainer.current_epoch
        self.loader = StepLoader(self._steps(self.epoch), list if self.objective.samples_responses else self.step)
        return self.loader

    def val_dataloader(self) -> DataLoader[np.ndarray]:
        """Returns a loader with one element: the indices of this rank's validation rows. Decoding batches them."""
        assert self.trainer is not None
        rank_rows = np.arange(self.validation_rows)[self.trainer.global_rank :: self.trainer.world_size]
        # torch accepts a list as a dataset, but its type annotations do not.
        return DataLoader([rank_rows], batch_size=None, collate_fn=lambda rows: rows)  # type: ignore[arg-type]

    def _steps(self, epoch: int) -> LengthGroupedSteps:
        trainer = self.config.trainer
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        lengths = self.sample_prompts.lengths
        return LengthGroupedSteps(
            lengths, trainer.batch_size, self.micro_batch_rows, self.config.seed, epoch, rank, ranks
        )
