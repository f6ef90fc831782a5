"""Plans a run: its folder, the stages that it depends on, and how much of it is done."""

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
"""Overrides that do not change what a run computes."""


@dataclass(frozen=True)
class Job:
    """A planned run: `python -m llmrec.run <overrides>`.

    Attributes:
        overrides: Its command line.
        cell: Its folder.
        record: The folder of its evaluation.
        stages: Runs that must be trained before it.
        name: The name that is printed.
    """

    overrides: tuple[str, ...]
    cell: Cell
    record: Path
    stages: tuple["Job", ...]
    name: str

    @property
    def done(self) -> bool:
        """Whether the run is trained and measured."""
        return self.cell.trained and (self.record / METRICS).is_file()

    @property
    def state(self) -> str:
        """Returns one of done, failed, interrupted, outdated, left.

        A run is failed when a launcher marked it and it has not been started since, interrupted when it was started,
        outdated when its overrides were run with other code or data, and left otherwise.
        """
        if self.done:
            return "done"
        if self.cell.failure.is_file():
            return "failed"
        if self.cell.config_file.is_file():
            return "interrupted"
        return "outdated" if self.is_outdated else "left"

    @property
    def is_outdated(self) -> bool:
        """Whether the same overrides were trained with other code or data, or measured in another way."""
        typed = sorted(cell_overrides(self.overrides))
        for file in self.cell.folder.parent.glob("*/.hydra/overrides.yaml"):
            if Cell(file.parents[1]).trained and sorted(cell_overrides(read_overrides(file))) == typed:
                return True
        return False


def read_overrides(file: Path) -> list[str]:
    """Returns what was typed for a run, from the file in which Hydra kept it; interpolations are not resolved."""
    words = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return [str(word) for word in words] if isinstance(words, list) else []


def plan_job(overrides: Sequence[str]) -> Job:
    """Plans the run of a command's overrides, with its stages. Hydra must be initialised with llmrec's conf/.

    Raises:
        InputError: The overrides, the data or a stage cannot be used.
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
    """Returns each job's name by its record, with the overrides that tell it from others of the same name."""
    alike: dict[str, list[list[str]]] = {}
    for job in jobs:
        alike.setdefault(job.name, []).append(cell_overrides(job.overrides))
    names = {}
    for job in jobs:
        own = [word for word in cell_overrides(job.overrides) if not all(word in words for words in alike[job.name])]
        names[job.record] = " ".join([job.name, *own])
    return names


def cell_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides that change what a run computes."""
    return [text for text in overrides if not text.lstrip("+").startswith(NOT_THE_CELL)]
