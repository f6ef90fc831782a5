"""Plans a run: its folder, the stages that it depends on, and whether it is done already."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from llmrec.compose import compose_run
from llmrec.settings.check import check_classes
from llmrec.settings.composition import composition_error
from llmrec.training.run_folder import (
    TRAINING,
    RunFolder,
    is_measured,
    measuring_key_of,
    resolved_config,
    run_name,
    run_path,
)
from llmrec.training.stages import assistant_overrides, stage_overrides

NOT_THE_RUN = ("launcher", "logger", "paths", "hydra", "trainer.progress", "trainer.checkpoint_")
"""Overrides that do not change what a run computes."""
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader that is compiled, where PyYAML has it, reads ten times as fast."""


@dataclass(frozen=True)
class Job:
    """A planned run: `python -m llmrec.run <overrides>`.

    Attributes:
        overrides: Command-line overrides of the run.
        run: Folder of the run.
        record: Folder of its rankings and metrics.
        measuring_key: Key of the settings and code that compute the metrics.
        stages: Runs that must be trained before it.
        name: Name that is printed.
        assistants: Runs that must be trained before it ranks: the baseline that its decoder uses, if any.
    """

    overrides: tuple[str, ...]
    run: RunFolder
    record: Path
    measuring_key: str
    stages: tuple["Job", ...]
    name: str
    assistants: tuple["Job", ...] = ()

    @property
    def done(self) -> bool:
        """Whether the run is trained and evaluated."""
        return self.run.trained and is_measured(self.record, self.measuring_key)

    @property
    def needed(self) -> tuple["Job", ...]:
        """Runs that must be trained before it can do what is missing."""
        return self.assistants if self.run.trained else self.stages + self.assistants

    @property
    def state(self) -> str:
        """One of done, running, failed, interrupted, outdated, not run.

        A run is running if a process holds its lock, failed if a launcher marked it and it has not been started since,
        interrupted if it was started but is not done, outdated if its overrides were run with other code or data, and
        not run otherwise.
        """
        if self.done:
            return "done"
        if self.run.is_locked:
            return "running"
        if self.run.failure.is_file():
            return "failed"
        if self.run.config_file.is_file():
            return "interrupted"
        return "outdated" if self.is_outdated else "not run"

    @property
    def is_outdated(self) -> bool:
        """Whether a run with the same overrides was trained with other code or data, or evaluated in another way."""
        return _sorted_run_overrides(self.overrides) in _stored_overrides(*_trained_runs(self.run.folder.parent))


def read_overrides(file: Path) -> list[str]:
    """Returns the overrides of a run as they were typed, from the file that Hydra wrote."""
    words = yaml.load(file.read_text(encoding="utf-8"), YAML_LOADER)
    return [str(word) for word in words] if isinstance(words, list) else []


def _trained_runs(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns a folder of runs and the names of those that are trained."""
    # Strings, since this takes most of the time of listing a thousand runs.
    names = os.listdir(folder) if folder.is_dir() else []
    return folder, tuple(name for name in names if os.path.isfile(f"{folder}/{name}/{TRAINING}"))


@cache
def _stored_overrides(folder: Path, runs: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Returns the overrides that each of the runs in a folder was started with."""
    files = [folder / run / ".hydra" / "overrides.yaml" for run in runs]
    return {_sorted_run_overrides(read_overrides(file)) for file in files if file.is_file()}


def _sorted_run_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(run_overrides(overrides)))


def plan_job(overrides: Sequence[str], with_classes: bool = False) -> Job:
    """Plans the run of a command's overrides, with its stages. Hydra must be initialized with llmrec's conf/.

    Args:
        overrides: Command-line overrides of the run.
        with_classes: Also checks the arguments of the classes that `_target_` names, which imports them.

    Raises:
        InputError: The overrides, the data or a stage cannot be used.
    """
    try:
        config = compose_run(overrides)
    except HydraException as error:
        raise composition_error(error) from error
    return _job(config, overrides, with_classes)


def _job(config: DictConfig, overrides: Sequence[str], with_classes: bool) -> Job:
    settings = resolved_config(config)
    if with_classes:
        check_classes(settings)
    run = RunFolder(Path(config.paths.runs) / run_path(config))
    resolved = OmegaConf.create(settings)
    assistant = assistant_overrides(config)
    return Job(
        overrides=tuple(overrides),
        run=run,
        record=run.ranking(resolved),
        measuring_key=measuring_key_of(resolved),
        stages=tuple(plan_job(stage, with_classes) for stage in stage_overrides(config).values()),
        name=run_name(config),
        assistants=() if assistant is None else (plan_job(assistant, with_classes),),
    )


def names_apart(jobs: Sequence[Job]) -> dict[Path, str]:
    """Returns each job's name by its record, with the overrides that distinguish it from jobs of the same name."""
    overrides: dict[str, list[list[str]]] = {}
    for job in jobs:
        overrides.setdefault(job.name, []).append(run_overrides(job.overrides))
    names = {}
    for job in jobs:
        same_name = overrides[job.name]
        own = [word for word in run_overrides(job.overrides) if not all(word in words for words in same_name)]
        names[job.record] = " ".join([job.name, *own])
    return names


def run_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides that change what a run computes."""
    return [text for text in overrides if not text.lstrip("+").startswith(NOT_THE_RUN)]
