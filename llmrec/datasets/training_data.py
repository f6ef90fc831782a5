"""What the data modules of all tasks share: which rows make up a step, and this rank's part of it."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.prompts import Prompts
from llmrec.datasets.steps import LengthGroupedSteps
from llmrec.objectives.base import Batch, Objective

Element = TypeVar("Element")


@dataclass(frozen=True)
class Step:
    """This rank's micro-batches of an optimizer step.

    fillers: so many of them, the last, count nothing: they let the rank run as many as the others.
    """

    batches: list[Batch]
    fillers: int

    def to(self, device: torch.device) -> "Step":
        """The same step on another device."""
        return Step([batch.to(device) for batch in self.batches], self.fillers)

    def weighted(self) -> list[tuple[Batch, float]]:
        """Each micro-batch with 1, or 0 where it counts nothing."""
        real = len(self.batches) - self.fillers
        return [(batch, float(place < real)) for place, batch in enumerate(self.batches)]


class TrainingData(LightningDataModule):
    """Training rows as the micro-batches of optimizer steps, and the numbers of the validation rows.

    A task's data module says what a row is: `sample_prompts`, `added_tokens`, `validation_rows` and `batch`.
    """

    objective: Objective

    def __init__(self, dataset: Dataset, config: DictConfig) -> None:
        """config: the resolved run config."""
        super().__init__()
        self.dataset, self.config = dataset, config
        self.epoch = 0
        """Of the training rows that are handed out: what is drawn anew each epoch is drawn by it."""
        self.checkpointing = False
        """Whether the model recomputes its activations, so that rows cannot share columns; set by `fit_into_memory`."""
        self.micro_batch_limit: int | None = None
        """Rows of a micro-batch at most, after memory has run out."""
        self.micro_tokens = 0
        """Tokens of a micro-batch at most, with trainer.micro_batch_size=auto; set by `fit_into_memory`."""

    @property
    @abstractmethod
    def sample_prompts(self) -> Prompts:
        """The prompts of the training rows."""

    @property
    @abstractmethod
    def added_tokens(self) -> int:
        """How many tokens a training row adds to its prompt, at most for nineteen rows of twenty."""

    @property
    @abstractmethod
    def validation_rows(self) -> int:
        """How many rows choose the checkpoint."""

    @abstractmethod
    def batch(self, rows: np.ndarray) -> Batch:
        """The micro-batch of some training rows (int [rows])."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch."""
        return len(self._steps(epoch=0))

    @property
    def shared(self) -> int:
        """How many tokens all training prompts begin with, 0 where they cannot be run once for all."""
        # Checkpointed layers forget the cache that holds the shared columns.
        return 0 if self.checkpointing else self._common_tokens

    @cached_property
    def _common_tokens(self) -> int:
        return len(self.sample_prompts.shared_prefix())

    def micro_rows(self, rows: np.ndarray) -> int:
        """Returns how many of some training rows (int [rows]) make up a micro-batch."""
        trainer = self.config.trainer
        if trainer.micro_batch_size != "auto":
            return int(trainer.micro_batch_size or trainer.batch_size)
        if self.objective.needs_whole_step:
            return int(trainer.batch_size)
        return max(1, self.micro_tokens // self.row_tokens(rows))

    def row_tokens(self, rows: np.ndarray) -> int:
        """Returns how many tokens the longest of some training rows (int [rows]) has, shared ones aside."""
        return int(self.sample_prompts.lengths[rows].max()) - self.shared + self.added_tokens

    def halved(self, step: Step) -> Step:
        """Returns a step in micro-batches of half as many rows, which is the limit for all steps to come.

        Args:
            step: Of a run on one rank, so without fillers; some of its micro-batches have more than one row.
        """
        self.micro_batch_limit = max(len(batch.example) for batch in step.batches) // 2
        return self._step([batch.example.cpu().numpy() for batch in step.batches])

    def train_dataloader(self) -> DataLoader[Step]:
        """One element an optimizer step: this rank's micro-batches of it."""
        assert self.trainer is not None
        self.epoch = self.trainer.current_epoch
        return _loader(self._steps(self.epoch), self._step)

    def val_dataloader(self) -> DataLoader[np.ndarray]:
        """This rank's validation rows as one element: decoding cuts them into batches itself."""
        assert self.trainer is not None
        mine = np.arange(self.validation_rows)[self.trainer.global_rank :: self.trainer.world_size]
        return _loader([mine], lambda rows: rows)

    def _step(self, parts: Sequence[np.ndarray]) -> Step:
        if self.micro_batch_limit is not None:
            # The parts of an epoch's steps were made before memory ran out.
            limit = self.micro_batch_limit
            parts = [rows[i : i + limit] for rows in parts for i in range(0, len(rows), limit)]
        fillers = sum(len(rows) == 0 for rows in parts)
        return Step([self.batch(rows if len(rows) else np.array([0])) for rows in parts], fillers)

    def _steps(self, epoch: int) -> LengthGroupedSteps:
        trainer = self.config.trainer
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        lengths = self.sample_prompts.lengths
        return LengthGroupedSteps(lengths, trainer.batch_size, self.micro_rows, self.config.seed, epoch, rank, ranks)


def _loader(elements: Iterable[Element], collate: Callable[[Element], Any]) -> DataLoader[Any]:
    # A list is a dataset to torch, but not to its types.
    return DataLoader(list(elements), batch_size=None, collate_fn=collate)  # type: ignore[arg-type]
