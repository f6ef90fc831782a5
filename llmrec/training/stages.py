"""Stages: runs that another run depends on. They are found by their keys, or run first in a process of their own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from llmrec.compose import compose_run
from llmrec.errors import BUSY, BusyError, InputError
from llmrec.processes.fork_server import start_preloaded
from llmrec.processes.process import stop_processes

START, ORACLE = "start", "oracle"
"""Names of stages: the run whose weights training starts from, and the baseline that estimates label noise."""
PLANNED = "LLMREC_PLANNED_RUN"
"""Environment variable with the folder that a launcher planned for its job; empty for a stage that a run starts."""


@dataclass(frozen=True)
class Stage:
    """A finished stage of a run.

    Attributes:
        folder: Folder of the stage's run.
        baseline: Settings of its baseline, composed by the run's own command. The settings stored in the folder are not
            used because the folder may come from someone else.
    """

    folder: Path
    baseline: Mapping[str, Any]


def stage_overrides(config: DictConfig) -> dict[str, list[str]]:
    """Returns the command-line overrides of each stage of a run, by START and ORACLE; a baseline has no stages.

    They are the run's overrides, without those of the objective and of groups that the stage sets, followed by the
    stage's own.
    """
    if config.baseline.name != "none":
        return {}
    named = {name: list(config.stage[name]) for name in (START, ORACLE) if config.stage[name] is not None}
    return {name: _with_stage(config, overrides) for name, overrides in named.items()}


def assistant_overrides(config: DictConfig) -> list[str] | None:
    """Returns the command-line overrides of the baseline that a run's decoder uses; None if it uses none.

    They are the run's overrides, without those of its objective and decoding, and with those of `decoding.assistant` in
    the group `baseline`.
    """
    assistant = config.decoding.get("assistant")
    if config.baseline.name != "none" or assistant is None or "_target_" not in assistant:
        return None
    prefix = "decoding.assistant."
    typed = [text.lstrip("+") for text in config.hydra.overrides.task if text.lstrip("+").startswith(prefix)]
    own = [f"baseline.{text.removeprefix(prefix)}" for text in typed]
    return _with_stage(config, [f"baseline={assistant.name}", *own], {"decoding"})


def stage_configs(config: DictConfig) -> dict[str, DictConfig]:
    """Returns the composed config, with its hydra node, of each stage of a run, by START and ORACLE.

    Raises:
        InputError: A stage cannot be composed, or the experiment would change its objective.
    """
    composed = {}
    for name, overrides in stage_overrides(config).items():
        try:
            composed[name] = compose_run(overrides)
            alone = compose_run(["stage=none", *config.stage[name]])
        except HydraException as error:
            raise _cannot_compose(config, name, str(error).splitlines()[0]) from error
        if name == START and composed[name].objective != alone.objective:
            raise _cannot_compose(config, name, "the experiment would change its objective")
    return composed


def run_stage(overrides: list[str], config: DictConfig) -> None:
    """Runs a stage in a process of its own.

    Raises:
        InputError: The stage failed.
        BusyError: Another process works on the stage.
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
        raise BusyError(f"another process works on the stage. Wait for it or stop it ({command})")
    if status != 0:
        raise InputError(f"the stage failed, so the run cannot start. Its command: python {command}")


def config_directories(config: DictConfig) -> list[str]:
    """Returns the --config-dir arguments of this command, to pass them to another one."""
    sources = [source for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    return [part for source in sources for part in ("--config-dir", source.path)]


def _cannot_compose(config: DictConfig, name: str, reason: str) -> InputError:
    experiment = config.hydra.runtime.choices.get("experiment")
    return InputError(
        f"the stage {name} of this run cannot be composed: {reason}. If experiment={experiment} sets the "
        "objective, put these settings on the command line or into an objective YAML of your own, which stages ignore"
    )


def _with_stage(config: DictConfig, stage: list[str], left_out: Collection[str] = ()) -> list[str]:
    groups = {"stage", "objective", *left_out, *map(_group, stage)}
    own = [override for override in config.hydra.overrides.task if _group(override) not in groups]
    # The task is fixed first because the run's objective and the stage's may set different ones.
    return [f"task={config.hydra.runtime.choices.task}", *own, "stage=none", *stage]


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
