"""Where curves go: curves.csv always, W&B or TensorBoard by choice; none of them waits for a network."""

import logging
import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from llmrec.collectives import is_rank_zero
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.training.cells import cell_name, is_baseline, run_source
from llmrec.training.curves import CurvesLogger

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Named:
    """How W&B shows a run; a sweep's launcher gives the group by WANDB_RUN_GROUP."""

    name: str
    tags: list[str]


def named(config: DictConfig) -> Named:
    """<dataset>-<task>-<objective>-<seed>, and what runs are filtered by; config: with its hydra node."""
    source, choices = run_source(config), config.hydra.runtime.choices
    who = [choices["baseline"]] if is_baseline(config) else [choices["objective"], choices["backbone"]]
    data = "simulated" if source.simulated else "real data"
    return Named(cell_name(config), [source.name, choices["task"], *who, f"scale={config.scale}", data])


@contextmanager
def open_loggers(config: DictConfig, cell: Path, named: Named | None) -> Iterator[list[Logger]]:
    """The loggers of a run, finished when the block ends; ranks but the first have none that writes.

    config: the run's, which W&B shows; named: None for no other logger than curves.csv. One W&B run a cell, also when
    resumed.
    """
    loggers: list[Logger] = [CurvesLogger(cell / "curves.csv")]
    if named is not None and is_rank_zero():
        if config.logger.tensorboard:
            loggers.append(_tensorboard(cell))
        if config.logger.wandb:
            loggers += _wandb(config, cell, named)
    started = [log.experiment for log in loggers if isinstance(log, WandbLogger)]
    try:
        yield loggers
    except BaseException:
        for run in started:
            run.finish(exit_code=1)
        raise
    for run in started:
        run.finish()


def log_summary(loggers: list[Logger], splits: dict[str, Any]) -> None:
    """Shows the final metrics by title, or by list, of validation and test, in W&B's summary."""
    for log in loggers:
        if isinstance(log, WandbLogger):
            log.experiment.summary.update(
                {
                    f"{split}/{name}": value
                    for split, measured in splits.items()
                    for name, value in measured.get("by_title", measured.get("by_list")).items()
                }
            )


def _tensorboard(cell: Path) -> TensorBoardLogger:
    try:
        return TensorBoardLogger(cell, name=None, version="tensorboard")
    except ModuleNotFoundError as error:
        raise InputError("logger=tensorboard needs TensorBoard: pip install 'llmrec[tensorboard]'") from error


def _wandb(config: DictConfig, cell: Path, named: Named) -> list[WandbLogger]:
    """W&B, online only where the user is logged in or asks for it; a run without it when it cannot start."""
    try:
        import wandb
    except ImportError:
        logger.warning("W&B is not installed; curves.csv is written all the same (pip install wandb, or logger=csv)")
        return []
    mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
    for attempt in dict.fromkeys([mode, "offline"]):
        try:
            # Lightning would start it at the first logged value, and a failure would end the run.
            run = wandb.init(
                project=config.logger.project,
                dir=cell,
                name=named.name,
                tags=named.tags,
                id=cell.name,
                # Whatever WANDB_MODE says: what is no mode, W&B itself refuses.
                mode=attempt,  # type: ignore[arg-type]
                resume="allow",
                config=plain(config),
                settings=wandb.Settings(silent=True, init_timeout=20),
            )
        except (wandb.errors.Error, OSError, ValueError) as error:
            logger.warning("W&B could not start in mode %s (%s)", attempt, error)
        else:
            run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
            logger.info("W&B: %s, %s", attempt, cell / "wandb")
            return [WandbLogger(experiment=run)]
    return []


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
