"""Stages: runs that another run depends on. They are found by their keys, or run first in a process of their own.

A stage may have stages of its own, which its overrides choose. Self-play in rounds is such a chain: each round starts
from the round before.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
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

    Raises:
        InputError: The run that opens each round has settings beside its objective.
    """
    return {name: _with_stage(config, overrides) for name, overrides in _own_overrides(config).items()}


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
        InputError: A stage cannot be composed, or the experiment would change its objective or its own stages.
    """
    composed = {}
    for name, overrides in _own_overrides(config).items():
        try:
            composed[name] = compose_run(_with_stage(config, overrides))
            alone = compose_run(["stage=none", *overrides])
        except HydraException as error:
            raise _cannot_compose(config, name, str(error).splitlines()[0]) from error
        changed = [group for group in ("objective", "stage") if composed[name][group] != alone[group]]
        if name == START and changed:
            raise _cannot_compose(config, name, f"the experiment would change its {changed[0]}")
    return composed


def run_stage(overrides: list[str], config: DictConfig) -> None:
    """Runs a stage in a process of its own.

    Raises:
        InputError: The stage failed.
        BusyError: Another process works on the stage.
    """
    arguments = [*config_directories(config), *overrides]
    command = f"-m llmrec.run {shlex.join(arguments)}"
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
        f"the stage {name} of this run cannot be composed: {reason}. If experiment={experiment} sets the objective "
        "or the stage, put these settings on the command line or into a YAML of your own, which stages ignore"
    )


def _own_overrides(config: DictConfig) -> dict[str, list[str]]:
    """Returns the overrides by which each stage differs from the run."""
    if config.baseline.name != "none":
        return {}
    stages = {START: _start(config), ORACLE: config.stage.oracle}
    return {name: list(overrides) for name, overrides in stages.items() if overrides is not None}


def _start(config: DictConfig) -> Sequence[str] | None:
    """Returns the overrides of the run that training starts from: in a round, of the run that opens it."""
    stage = config.stage
    rounds, opening = stage.get("rounds"), stage.get("round_start")
    before: Sequence[str] | None = stage.start if rounds in (None, 1) else _round_before(config)
    if rounds is None or opening is None:
        return before
    for override in opening:
        # The runs of the round before would inherit any other setting from this one.
        if _group(override) != "objective":
            raise InputError(
                f"stage.round_start: {override} is no setting of the objective. Give objective=... and "
                "objective.KEY=VALUE only"
            )
    return [*opening, f"stage.start={_as_list(before)}"]


def _round_before(config: DictConfig) -> list[str]:
    """Returns the overrides of the same objective and stage with one round less."""
    choices, replaced = config.hydra.runtime.choices, ("objective=", "stage=", "stage.rounds=")
    own = [
        override
        for override in config.hydra.overrides.task
        if _group(override) in ("objective", "stage") and not override.lstrip("+").startswith(replaced)
    ]
    return [f"objective={choices.objective}", f"stage={choices.stage}", *own, f"stage.rounds={config.stage.rounds - 1}"]


def _as_list(overrides: Sequence[str] | None) -> str:
    """Returns overrides as a value in Hydra's syntax."""
    if overrides is None:
        return "null"
    return f"[{','.join(QuotedString(override, Quote.single).with_quotes() for override in overrides)}]"


def _with_stage(config: DictConfig, stage: list[str], left_out: Collection[str] = ()) -> list[str]:
    groups = {"stage", "objective", *left_out, *map(_group, stage)}
    # The task is fixed first because the run's objective and the stage's may set different ones.
    task = f"task={config.hydra.runtime.choices.task}"
    own = [override for override in config.hydra.overrides.task if _group(override) not in groups and override != task]
    none = [] if any(override.startswith("stage=") for override in stage) else ["stage=none"]
    return [task, *own, *none, *stage]


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
