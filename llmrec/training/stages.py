"""Stages: runs that another run depends on, found by their keys or run first as processes of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig

from llmrec.errors import BUSY, BusyError, InputError
from llmrec.processes.fork_server import start_preloaded
from llmrec.processes.process import stop_processes

START, ORACLE = "start", "oracle"
"""The run whose weights training starts from; the fitted baseline that estimates label noise."""
PLANNED = "LLMREC_PLANNED_CELL"
"""The variable that tells a job the folder that its launcher planned; empty for a stage, which no launcher planned."""


@dataclass(frozen=True)
class Stage:
    """A finished stage of a run.

    Args:
        folder: Of the stage's run.
        baseline: The settings of its baseline as the run's own command composes them. Those in the folder are not read:
            it may be somebody else's.
    """

    folder: Path
    baseline: Mapping[str, Any]


def stage_overrides(config: DictConfig) -> dict[str, list[str]]:
    """Returns the command-line overrides of each stage that a run names (START, ORACLE); a baseline has none.

    They are the run's own without those of the objective and of groups that the stage sets, plus the stage's.
    """
    if config.baseline.name != "none":
        return {}
    named = {name: list(config.stage[name]) for name in (START, ORACLE) if config.stage[name] is not None}
    return {name: _of_stage(config, overrides) for name, overrides in named.items()}


def stage_configs(config: DictConfig) -> dict[str, DictConfig]:
    """Returns the composed config, with its hydra node, of each stage that a run names.

    Raises:
        InputError: An experiment's settings of the objective would change the stage's objective.
    """
    composed = {}
    for name, overrides in stage_overrides(config).items():
        try:
            composed[name] = compose("config", overrides, return_hydra_config=True)
            alone = compose("config", ["stage=none", *config.stage[name]])
        except HydraException as error:
            raise _unfit(config, name, str(error).splitlines()[0]) from error
        if name == START and composed[name].objective != alone.objective:
            raise _unfit(config, name, "its objective would not be the one that it is by itself")
    return composed


def run_stage(overrides: list[str], config: DictConfig) -> None:
    """Runs a stage as a process of its own.

    Raises:
        InputError: The stage failed.
        BusyError: Another process works on it.
    """
    arguments = [*config_directories(config), *overrides]
    command = " ".join(["-m llmrec.run", *arguments])
    print(f"first its stage: {command}", flush=True)
    stage = start_preloaded("llmrec.run", arguments, {PLANNED: ""})
    try:
        status = stage.wait()
    finally:
        stop_processes([stage])
    if status == BUSY:
        raise BusyError(f"another process is at work on the stage: wait for it, or stop it ({command})")
    if status != 0:
        raise InputError(f"the stage failed, so the run cannot start: python {command}")


def config_directories(config: DictConfig) -> list[str]:
    """Returns the --config-dir arguments of this command, for another one."""
    sources = [source for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    return [part for source in sources for part in ("--config-dir", source.path)]


def _unfit(config: DictConfig, name: str, why: str) -> InputError:
    experiment = config.hydra.runtime.choices.get("experiment")
    return InputError(
        f"the stage {name} of this run cannot be composed: {why}. If experiment={experiment} sets the objective, put "
        "its settings on the command line or into an objective YAML of your own, which a stage leaves out"
    )


def _of_stage(config: DictConfig, stage: list[str]) -> list[str]:
    groups = {"stage", "objective", *map(_group, stage)}
    own = [override for override in config.hydra.overrides.task if _group(override) not in groups]
    # An objective may choose the task, and the stage's objective another one.
    return [f"task={config.hydra.runtime.choices.task}", *own, "stage=none", *stage]


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
