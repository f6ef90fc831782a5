"""What the data modules of all tasks share: which rows make up a step, and this rank's part of it."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.prompts import Prompts
from llmrec.datasets.steps import LengthGroupedSteps
from llmrec.objectives.base import Batch

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

    A task's data module says what a row is: `sample_prompts`, `validation_rows` and `batch`.
    """

    def __init__(self, dataset: Dataset, config: DictConfig) -> None:
        """config: the resolved run config."""
        super().__init__()
        self.dataset, self.config = dataset, config
        self.epoch = 0
        """Of the training rows that are handed out: what is drawn anew each epoch is drawn by it."""

    @property
    @abstractmethod
    def sample_prompts(self) -> Prompts:
        """The prompts of the training rows."""

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

    def shared_columns(self) -> int:
        """How many tokens all training prompts begin with, 0 where they cannot be run once for all."""
        # Checkpointed layers forget the cache that holds the shared columns.
        checkpointing = self.config.backbone.gradient_checkpointing
        return 0 if checkpointing else len(self.sample_prompts.shared_prefix())

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
        fillers = sum(len(rows) == 0 for rows in parts)
        return Step([self.batch(rows if len(rows) else np.array([0])) for rows in parts], fillers)

    def _steps(self, epoch: int) -> LengthGroupedSteps:
        trainer = self.config.trainer
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        lengths = self.sample_prompts.lengths
        micro = trainer.micro_batch_size or trainer.batch_size
        return LengthGroupedSteps(lengths, trainer.batch_size, micro, self.config.seed, epoch, rank, ranks)


def _loader(elements: Iterable[Element], collate: Callable[[Element], Any]) -> DataLoader[Any]:
    # A list is a dataset to torch, but not to its types.
    return DataLoader(list(elements), batch_size=None, collate_fn=collate)  # type: ignore[arg-type]
