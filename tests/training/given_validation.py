"""Trainings of six epochs, of three steps each, whose validation values are given instead of measured."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from llmrec.evaluation.features import ReferenceFeatures
from llmrec.examples.training_data import Step
from llmrec.training.curves import CurvesLogger
from llmrec.training.module import Recommender
from llmrec.training.open_dataset import read_dataset
from llmrec.training.stages import Stage
from llmrec.training.train import train

SIX_EPOCHS = ("objective=sft", "trainer.epochs=6", "trainer.warmup_steps=2", "trainer.learning_rate=1e-3")
BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")
TAKE_STEP = Recommender.training_step


class Killed(Exception):
    """Ends a training."""


@contextmanager
def validated(*values: Sequence[float]) -> Iterator[pytest.MonkeyPatch]:
    """Has the rows of the validation sample take turns with lists of values, each with a value per epoch."""

    def validation_step(module: Recommender, rows: np.ndarray, _: int) -> None:
        given = [values[row % len(values)][module.current_epoch] for row in rows]
        user = torch.as_tensor(rows) % len(module.means.counts)
        module.means.update({name: torch.tensor(given) for name in module.means.names}, user)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recommender, "validation_step", validation_step)
        yield patch


def kill_at_step(patch: pytest.MonkeyPatch, number: int) -> None:
    """Has the training end before an optimizer step, counted from 0."""

    def step_or_end(module: Recommender, step: Step, place: int) -> None:
        if module.global_step == number:
            raise Killed
        TAKE_STEP(module, step, place)

    patch.setattr(Recommender, "training_step", step_or_end)


def trained(folder: Path, config: DictConfig, stages: Mapping[str, Stage] | None = None) -> dict[str, Any]:
    """Trains in a folder, or goes on there, and returns what training.json would hold."""
    folder.mkdir(parents=True, exist_ok=True)
    loggers: list[Logger] = [CurvesLogger(folder / "curves.csv")]
    return train(config, read_dataset(config), folder, stages or {}, ReferenceFeatures(), loggers)


def curves(folder: Path) -> dict[str, float]:
    """What curves.csv says, by step and name; what depends on the machine's load is left out."""
    lines = [line.rsplit(",", 1) for line in (folder / "curves.csv").read_text().splitlines()[1:]]
    return {name: float(value) for name, value in lines if name.split(",")[1] not in BY_THE_CLOCK}
