"""What a command of a sweep has to run: its cell, the stages that must be there before it, and what is done already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from llmrec.errors import InputError
from llmrec.training.cells import METRICS, Cell, cell_name, cell_path, plain_config
from llmrec.training.stages import stage_overrides

NOT_THE_CELL = ("launcher", "logger", "paths", "hydra", "trainer.progress")
"""Overrides that change nothing of what a cell is."""


@dataclass(frozen=True)
class Job:
    """One process to run: `python -m llmrec.run <overrides>`.

    record: the folder of the evaluation that it leaves; stages: cells that must be trained before; name: for people.
    """

    overrides: tuple[str, ...]
    cell: Cell
    record: Path
    stages: tuple["Job", ...]
    name: str

    @property
    def done(self) -> bool:
        """Whether trained and measured."""
        return self.cell.trained and (self.record / METRICS).is_file()

    @property
    def state(self) -> str:
        """done; failed: by a launcher, and not run since; interrupted: begun; outdated: there by older code or data."""
        if self.done:
            return "done"
        if self.cell.failure.is_file():
            return "failed"
        if self.cell.config_file.is_file():
            return "interrupted"
        return "outdated" if self.is_outdated else "left"

    @property
    def is_outdated(self) -> bool:
        """Whether the same overrides have left a trained cell, by other code or data or measured in another way."""
        typed = sorted(cell_overrides(self.overrides))
        for file in self.cell.folder.parent.glob("*/.hydra/overrides.yaml"):
            words = [str(word) for word in OmegaConf.load(file)]
            if Cell(file.parents[1]).trained and sorted(cell_overrides(words)) == typed:
                return True
        return False


def plan_job(overrides: Sequence[str]) -> Job:
    """The job of a command's overrides, with its stages.

    Needs Hydra initialised with llmrec's conf/. Raises InputError for overrides, data or stages that cannot be used.
    """
    try:
        config = compose("config", list(overrides), return_hydra_config=True)
    except HydraException as error:
        raise InputError(" ".join(str(error).split("\n")[:2])) from error
    return _job(config, overrides)


def _job(config: DictConfig, overrides: Sequence[str]) -> Job:
    cell = Cell(Path(config.paths.runs) / cell_path(config))
    return Job(
        overrides=tuple(overrides),
        cell=cell,
        record=cell.evaluation(OmegaConf.create(plain_config(config))),
        stages=tuple(plan_job(stage) for stage in stage_overrides(config).values()),
        name=cell_name(config),
    )


def names_apart(jobs: Sequence[Job]) -> dict[Path, str]:
    """By record, each job's name and, where others bear it too, the overrides that not all of them have."""
    alike: dict[str, list[list[str]]] = {}
    for job in jobs:
        alike.setdefault(job.name, []).append(cell_overrides(job.overrides))
    names = {}
    for job in jobs:
        own = [word for word in cell_overrides(job.overrides) if not all(word in words for words in alike[job.name])]
        names[job.record] = " ".join([job.name, *own])
    return names


def cell_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that change what a cell is."""
    return [text for text in overrides if not text.lstrip("+").startswith(NOT_THE_CELL)]
