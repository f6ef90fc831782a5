"""The schema: one dataclass for each config group, with the type of each key.

A key without a default must be set. Groups whose class `_target_` names are checked by its constructor instead.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from llmrec.settings.dataset import Dataset
from llmrec.settings.types import (
    Component,
    EvaluatedSplits,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ProbabilityBelowOne,
    Seed,
    Text,
)


@dataclass
class Adapter:
    """The group adapter."""

    name: Name
    learning_rate: PositiveFloat
    eight_bit: bool = False
    rank: PositiveInt = 8
    alpha: PositiveInt = 16
    dropout: ProbabilityBelowOne = 0.0
    modules: Annotated[
        list[Text] | Literal["all-linear"],
        Field(min_length=1, description="a list of module names, such as [q_proj,v_proj], or all-linear"),
    ] = "all-linear"


@dataclass
class Pretraining:
    """backbone.pretraining, of the backbone tiny."""

    rows: PositiveInt | None
    seed: Seed = 0
    epochs: NonNegativeInt = 1
    batch_size: PositiveInt = 1
    learning_rate: PositiveFloat = 1.0


@dataclass
class Backbone:
    """The group backbone. Every scale sets keys of the backbone tiny, whichever backbone a run has."""

    name: Name
    max_length: PositiveInt
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    attention: Text
    gradient_checkpointing: Literal["auto"] | bool
    trust_remote_code: bool
    full_learning_rate: PositiveFloat
    path: Text | None = None
    package: Text | None = None
    gguf_file: Text | None = None
    vocabulary: PositiveInt = 1
    hidden_size: PositiveInt = 1
    intermediate_size: PositiveInt = 1
    layers: PositiveInt = 1
    heads: PositiveInt = 1
    pretraining: Pretraining | None = None

    @staticmethod
    def validate(settings: dict[str, Any]) -> None:
        """Checks that the heads divide the hidden size."""
        size, heads = settings.get("hidden_size", 1), settings.get("heads", 1)
        if size % heads:
            raise ValueError(f"heads={heads}: give a divisor of backbone.hidden_size={size}")


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


@dataclass
class Stage:
    """The group stage: overrides of each stage."""

    start: list[Text] | None
    oracle: list[Text] | None


@dataclass
class Trainer:
    """The group trainer."""

    accelerator: Literal["auto", "gpu", "cuda", "cpu"]
    devices: PositiveInt
    strategy: Literal["auto", "ddp", "fsdp"]
    precision: Literal["auto", "bf16-mixed", "32-true"]
    epochs: NonNegativeInt
    patience: PositiveInt | None
    batch_size: PositiveInt
    micro_batch_size: Literal["auto"] | PositiveInt | None
    learning_rate: PositiveFloat
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat
    clip: PositiveFloat
    progress: bool


@dataclass
class Logger:
    """The group logger."""

    wandb: bool
    tensorboard: bool
    project: Text


@dataclass
class Launcher:
    """The keys that the files of the group launcher set."""

    jobs: PositiveInt = 1
    gpus: Literal["all"] | NonNegativeInt | list[NonNegativeInt] | None = None
    group: Text | None = None
    partition: Text | None = None
    account: Text | None = None
    minutes: PositiveInt | None = None
    cpus: PositiveInt | None = None
    more: dict[str, Any] | None = None


@dataclass
class Search:
    """The keys that experiment=search adds."""

    trials: PositiveInt
    parallel_trials: PositiveInt
    seed: Seed
    space: dict[str, Text]


@dataclass
class Paths:
    """Folders of data, derived data and results."""

    data: Text
    cache: Text
    runs: Text


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
