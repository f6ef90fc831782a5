"""The interface of tasks: what a run ranks, and everything that depends on it.

Nothing outside this folder asks which task a run has.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from rich.console import RenderableType
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import Loaded
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.examples.training_data import TrainingData
from llmrec.metrics.base import Metric
from llmrec.plain import plain
from llmrec.prompts.pretraining import PretrainingTexts
from llmrec.prompts.text import PromptText
from llmrec.settings.objects import build

RANKING = "ranking"
"""The part of an evaluation that every run has."""
NAMES_NO_CANDIDATES = "it ranks given candidates, and a history alone names none. Give a run of task=next_item"
"""Why a task of candidates recommends nothing."""
RANK_AGAIN = "Delete its folder and rank again with python -m llmrec.evaluate"
"""What to do about a damaged ranking."""
Progress = Callable[[int], None]
"""Called with the number of rows that have been finished since the last call."""
Parts = Mapping[str, pa.Table]
"""Rankings of one split by the name of their part."""


class Ranker(Protocol):
    """A trained recommender.

    Attributes:
        name: Name in tables.
    """

    name: str


@dataclass(frozen=True)
class Validated:
    """What a task computes for some validation rows.

    Attributes:
        values: Values of each row, float64 `[rows]`, by name.
        titles: The ranked distinct titles of each row, best first, int `[rows, k]`; -1 where there are fewer than k.
    """

    values: dict[str, Tensor]
    titles: np.ndarray


class Task(ABC):
    """What a run ranks, chosen by `_target_`: its data, examples, validation, ranker, metrics and console table.

    Attributes:
        name: Name of the task's YAML, which is part of paths and records.
        metrics: The metrics that a record of the task has.
        headline: Path of the figure that summaries show.
        headline_label: Its name there.
        row_columns: Columns that identify a row of the rankings.
        unit: What is ranked, such as `row`.
        refused: Commands that do not exist for the task, with the reason.
    """

    name: str
    metrics: ClassVar[Sequence[Metric]]
    headline: ClassVar[str]
    headline_label: ClassVar[str]
    row_columns: ClassVar[Sequence[str]]
    unit: ClassVar[str]
    refused: ClassVar[Mapping[str, str]] = {}

    def prepare(self, loaded: Loaded, dataset: DictConfig, cache_dir: Path) -> Dataset:
        """Returns the dataset with what the task needs beside its rows.

        Args:
            loaded: The dataset as it is loaded for any task.
            dataset: The resolved config group `dataset`.
            cache_dir: llmrec's cache folder.
        """
        return loaded.dataset

    @abstractmethod
    def summary(self, dataset: Dataset) -> Sequence[str]:
        """Returns lines to log when the dataset is opened."""

    @abstractmethod
    def check(self, config: DictConfig) -> None:
        """Checks the decoding and evaluation settings.

        Raises:
            InputError: If a value cannot be used, or the decoding is for another task.
        """

    @abstractmethod
    def prompt(self, config: DictConfig, items: Items) -> PromptText:
        """Returns the text of the run's prompts.

        Args:
            config: The resolved run config (groups prompt and dataset).
            items: The catalogue.

        Raises:
            InputError: If the config group `prompt` has no usable template for the task.
        """

    @abstractmethod
    def pretraining(self, config: DictConfig, dataset: Dataset) -> PretrainingTexts:
        """Returns the texts on which `tiny` is pretrained; arguments and errors as for `prompt`."""

    @abstractmethod
    def data(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> TrainingData:
        """Returns the data module, which makes examples and prompts for a tokenizer."""

    @abstractmethod
    def validation_sample(self, dataset: Dataset, config: DictConfig) -> Any:
        """Draws the rows or lists by which a checkpoint is selected (config group `validation`)."""

    @property
    @abstractmethod
    def validation_names(self) -> Sequence[str]:
        """Names of the values that `validate` computes, the one that selects the checkpoint first."""

    @abstractmethod
    def validate(self, backbone: Backbone, data: TrainingData, rows: np.ndarray, config: DictConfig) -> Validated:
        """Ranks validation rows and computes their values.

        Args:
            backbone: The model.
            data: Set up for training.
            rows: Validation rows, int [rows].
            config: The resolved run config.
        """

    @abstractmethod
    def model_ranker(self, backbone: Backbone, dataset: Dataset, config: DictConfig, cache_dir: Path) -> Ranker:
        """Returns the ranker of a tuned language model."""

    @abstractmethod
    def baseline_ranker(self, name: str, baseline: Baseline, dataset: Dataset, config: DictConfig) -> Ranker:
        """Returns the ranker of a fitted baseline."""

    @abstractmethod
    def parts(self, config: DictConfig) -> Sequence[str]:
        """Returns the names of the rankings that an evaluation needs, RANKING first."""

    @abstractmethod
    def rank(
        self, part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
    ) -> pa.Table:
        """Ranks the rows of a split.

        Args:
            part: One of `parts`.
            ranker: The ranker.
            dataset: The dataset.
            split: "valid" or "test".
            config: The resolved run config (groups decoding and evaluation).
            folder: Takes finished parts of the ranking, from which an interrupted one may go on.
            progress: Called with numbers of finished rows; see `passes`.

        Returns:
            A table with one row per row or list.
        """

    @abstractmethod
    def passes(self, part: str, dataset: Dataset, split: str, config: DictConfig) -> int:
        """Returns how often `rank` reports a finished row for a part."""

    @abstractmethod
    def record(
        self,
        parts: Parts,
        dataset: Dataset,
        split: str,
        config: DictConfig,
        features: ReferenceFeatures,
        metrics: Sequence[Metric],
    ) -> tuple[dict[str, Any], pa.Table]:
        """Computes the record of a split from its rankings, without a model.

        Args:
            parts: The rankings.
            dataset: The dataset.
            split: "valid" or "test".
            config: The resolved run config (groups decoding and evaluation).
            features: Reference features of the titles.
            metrics: The metrics to compute.

        Returns:
            The record, and a table of `row_columns` and the metrics' per-row values, named `<metric>.<column>`.

        Raises:
            InputError: If the rankings do not fit the dataset.
        """

    @abstractmethod
    def tables(self, splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Sequence[RenderableType]:
        """Returns the console tables of the records of some splits."""

    def check_command(self, command: str, folder: Path) -> None:
        """Refuses a command that does not exist for the task.

        Raises:
            InputError: With the reason.
        """
        if command in self.refused:
            raise InputError(
                f"{folder} is of task={self.name}, which {command} does not support: {self.refused[command]}"
            )


def build_task(config: DictConfig) -> Task:
    """Builds the task of a run.

    Args:
        config: The resolved run config.

    Raises:
        InputError: If a setting of the task is invalid.
    """
    task: Task = build(plain(config.task), "task")
    task.name = str(config.task.name)
    return task


def build_metrics(task: Task, config: DictConfig) -> list[Metric]:
    """Returns the metrics of a task, and those that the config group `metrics` adds, named by their keys.

    Raises:
        InputError: If a metric cannot be built, or has the name of another one.
    """
    found = list(task.metrics)
    for name, settings in plain(config.metrics).items():
        if name in {metric.name for metric in found}:
            raise InputError(f"metrics.{name}: the task has a metric of this name. Give it another key")
        metric = build(settings, f"metrics.{name}")
        metric.name = str(name)
        found.append(metric)
    return found
