"""Stages: cells that must be there before a run; found by their fingerprints, or run first as jobs of their own."""

import subprocess
import sys

from hydra import compose
from omegaconf import DictConfig

from llmrec.errors import InputError

START, ORACLE = "start", "oracle"
"""The cell whose weights training starts from; the fitted baseline that the objective asks about its pairs."""


def stage_overrides(config: DictConfig) -> dict[str, list[str]]:
    """The command-line overrides of each stage that a run names, START and ORACLE; a baseline needs none.

    They are the run's own, less those of the objective and of the groups that the stage sets, plus the stage's.
    """
    if config.baseline.name != "none":
        return {}
    named = {name: list(config.stage[name]) for name in (START, ORACLE) if config.stage[name] is not None}
    return {name: _of_stage(config, overrides) for name, overrides in named.items()}


def stage_configs(config: DictConfig) -> dict[str, DictConfig]:
    """The composed config, with its hydra node, of each stage that a run names."""
    return {
        name: compose("config", overrides, return_hydra_config=True)
        for name, overrides in stage_overrides(config).items()
    }


def run_stage(overrides: list[str], config: DictConfig) -> None:
    """Runs a stage as a job of its own. Raises InputError when it fails."""
    directories = [
        part for source in config.hydra.runtime.config_sources if source.provider == "command-line"
        for part in ("--config-dir", source.path)
    ]  # fmt: skip
    command = [sys.executable, "-m", "llmrec.run", *directories, *overrides]
    print(f"first its stage: {' '.join(command[1:])}", flush=True)
    if subprocess.run(command, check=False).returncode != 0:
        raise InputError(f"the stage failed, so the run cannot start: python {' '.join(command[1:])}")


def _of_stage(config: DictConfig, stage: list[str]) -> list[str]:
    groups = {"stage", "objective", *map(_group, stage)}
    own = [override for override in config.hydra.overrides.task if _group(override) not in groups]
    return [*own, "stage=none", *stage]


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
