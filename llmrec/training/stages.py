"""Stages: cells that must be there before a run; found by their fingerprints, or run first as jobs of their own."""

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig

from llmrec.errors import BUSY, BusyError, InputError
from llmrec.processes.process import start_one_of_many, stop

START, ORACLE = "start", "oracle"
"""The cell whose weights training starts from; the fitted baseline that the objective asks about its pairs."""
PLANNED = "LLMREC_PLANNED_CELL"
"""The variable by which a launcher tells a job the cell that it planned; empty for a stage, which nobody planned."""


def stage_overrides(config: DictConfig) -> dict[str, list[str]]:
    """The command-line overrides of each stage that a run names, START and ORACLE; a baseline needs none.

    They are the run's own, less those of the objective and of the groups that the stage sets, plus the stage's.
    """
    if config.baseline.name != "none":
        return {}
    named = {name: list(config.stage[name]) for name in (START, ORACLE) if config.stage[name] is not None}
    return {name: _of_stage(config, overrides) for name, overrides in named.items()}


def stage_configs(config: DictConfig) -> dict[str, DictConfig]:
    """The composed config, with its hydra node, of each stage that a run names.

    Raises InputError where an experiment's settings of the objective would reach the stage's.
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
    """Runs a stage as a job of its own. Raises InputError when it fails, BusyError when another process is at it."""
    arguments = [*config_directories(config), *overrides]
    command = " ".join(["-m llmrec.run", *arguments])
    print(f"first its stage: {command}", flush=True)
    stage = start_one_of_many("llmrec.run", arguments, {PLANNED: ""})
    try:
        status = stage.wait()
    finally:
        stop([stage])
    if status == BUSY:
        raise BusyError(f"another process is at work on the stage: wait for it, or stop it ({command})")
    if status != 0:
        raise InputError(f"the stage failed, so the run cannot start: python {command}")


def config_directories(config: DictConfig) -> list[str]:
    """The arguments that name the user's own folders of YAML files, for another command."""
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
    # An objective may choose its task by itself, and the stage's objective another.
    return [f"task={config.hydra.runtime.choices.task}", *own, "stage=none", *stage]


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
