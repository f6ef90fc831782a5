"""Stages: a run may start from the weights of another cell, which is found by its fingerprint or run first."""

import subprocess
import sys

from hydra import compose
from omegaconf import DictConfig

from llmrec.errors import InputError


def stage_overrides(config: DictConfig) -> list[str] | None:
    """The command-line overrides of the stage that a run starts from; None when it starts from the backbone.

    They are the run's own, less those of the groups that the stage sets (config.stage.overrides), plus the stage's.
    """
    if config.stage.overrides is None:
        return None
    stage = list(config.stage.overrides)
    groups = {"stage", *map(_group, stage)}
    own = [override for override in config.hydra.overrides.task if _group(override) not in groups]
    return [*own, "stage=none", *stage]


def stage_config(config: DictConfig) -> DictConfig | None:
    """The composed config, with its hydra node, of the stage that a run starts from; None when there is none."""
    overrides = stage_overrides(config)
    return None if overrides is None else compose("config", overrides, return_hydra_config=True)


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


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[0].split("/")[0].split(".")[0]
