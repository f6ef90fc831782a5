"""The schema of a run: one dataclass for each config group, with the type of each key.

A key without a default must be set. Groups whose class `_target_` names are checked by its constructor instead.
"""

from dataclasses import dataclass
from typing import Any, Literal

from llmrec.settings.backbone import Adapter, Backbone
from llmrec.settings.dataset import Dataset
from llmrec.settings.trainer import Launcher, Logger, Paths, Search, Trainer
from llmrec.settings.types import Component, EvaluatedSplits, Name, PositiveInt, Seed, Text


@dataclass
class Items:
    """The group items."""

    name: Literal["titles", "tokens"]
    file: Text | None = None


@dataclass
class Prompt:
    """The group prompt; a task of the user's own has its text under the task's name."""

    name: Name = "unnamed"
    chat_template: bool = False
    next_item: Text | None = None
    rerank: Text | None = None
    candidates: Text | None = None


@dataclass
class Stage:
    """The group stage: overrides of each stage, and the number of rounds of self-play."""

    start: list[Text] | None
    oracle: list[Text] | None
    rounds: PositiveInt | None = None
    round_start: list[Text] | None = None


@dataclass
class Validation:
    """Validation during training."""

    users: PositiveInt | None
    sample_seed: Seed
    every: PositiveInt
    beams: PositiveInt


@dataclass
class Evaluation:
    """Evaluation of the selected checkpoint."""

    splits: EvaluatedSplits
    users: PositiveInt | None
    sample_seed: Seed
    unconstrained: bool
    orders: PositiveInt


@dataclass
class Run:
    """All settings of a run."""

    seed: Seed
    scale: Name
    paths: Paths
    dataset: Dataset
    items: Items
    prompt: Prompt
    task: Component
    decoding: Component
    metrics: dict[str, Component]
    adapter: Adapter
    backbone: Backbone
    stage: Stage
    objective: Component
    baseline: Component
    trainer: Trainer
    validation: Validation
    evaluation: Evaluation
    logger: Logger
    launcher: Launcher
    search: Search | None = None
    experiment: Name | dict[str, Any] | None = None
