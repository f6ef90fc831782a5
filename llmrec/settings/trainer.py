"""The schema of the groups trainer, logger and launcher, and of the search and the paths."""

from dataclasses import dataclass
from typing import Any, Literal

from llmrec.settings.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Seed, Text


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
    checkpoint_minutes: PositiveFloat | None = 10.0
    checkpoint_steps: PositiveInt | None = None
    nodes: PositiveInt = 1


@dataclass
class Logger:
    """The group logger."""

    wandb: bool
    tensorboard: bool
    project: Text
    artifacts: bool = False


@dataclass
class Launcher:
    """The keys that the files of the group launcher set."""

    jobs: PositiveInt = 1
    gpus: Literal["all"] | NonNegativeInt | list[NonNegativeInt] | None = None
    per_gpu: PositiveInt = 1
    group: Text | None = None
    partition: Text | None = None
    account: Text | None = None
    wait: bool = True
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
