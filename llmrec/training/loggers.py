"""Loggers of a run: always curves.csv, optionally W&B or TensorBoard. None of them needs a network."""

import logging
import netrc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from llmrec.backbones.load import WEIGHTS
from llmrec.backbones.saved_files import first_line
from llmrec.collectives import is_rank_zero
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.training.curves import CurvesLogger
from llmrec.training.run_folder import is_baseline, run_name, run_source

logger = logging.getLogger(__name__)
MAX_NAME_LENGTH, MAX_TAG_LENGTH = 128, 64
"""Numbers of characters that W&B accepts."""
INIT_TIMEOUT_S = 20.0
"""How long W&B may take to reach its server before a run goes on offline."""


@dataclass(frozen=True)
class RunLabel:
    """The name and tags of a run in W&B; the launcher of a sweep sets the group in WANDB_RUN_GROUP.

    Attributes:
        name: Name of the run.
        tags: Tags by which runs are filtered.
    """

    name: str
    tags: list[str]


def run_label(config: DictConfig) -> RunLabel:
    """Returns the name <dataset>-<task>-<objective>-<seed> of a run and its tags.

    Args:
        config: The composed config with its hydra node.
    """
    source, choices = run_source(config), config.hydra.runtime.choices
    model = [choices["baseline"]] if is_baseline(config) else [choices["objective"], choices["backbone"]]
    data = "simulated" if source.simulated else "real data"
    split = "split=leave_one_out" if source.leave_one_out else "split by time"
    return RunLabel(run_name(config), [source.name, choices["task"], *model, f"scale={config.scale}", data, split])


@contextmanager
def open_loggers(config: DictConfig, folder: Path, label: RunLabel | None) -> Iterator[list[Logger]]:
    """Opens the loggers of a run, and finishes them at the end of the context. Only those of rank 0 write.

    A resumed training continues the same W&B run.

    Args:
        config: The resolved run config, which is shown in W&B.
        folder: Folder of the run.
        label: Name and tags of the run in W&B; None to log to curves.csv only.

    Yields:
        The loggers, a CurvesLogger first.

    Raises:
        InputError: logger=tensorboard is set, but TensorBoard is not installed.
    """
    loggers: list[Logger] = [CurvesLogger(folder / "curves.csv")]
    if label is not None and is_rank_zero():
        if config.logger.tensorboard:
            loggers.append(_tensorboard(folder))
        if config.logger.wandb:
            loggers += _wandb(config, folder, label)
    started = [log.experiment for log in loggers if isinstance(log, WandbLogger)]
    try:
        yield loggers
    except BaseException:
        for run in started:
            run.finish(exit_code=1)
        raise
    for run in started:
        run.finish()


def log_summary(loggers: list[Logger], record: dict[str, Any]) -> None:
    """Adds the final figures of the headline's metric, for each split, to the summary of the W&B run."""
    metric = record["headline"]["path"].partition(".")[0]
    for log in loggers:
        if isinstance(log, WandbLogger):
            log.experiment.summary.update(
                {
                    f"{split}/{name}": value
                    for split, metrics in record["splits"].items()
                    for name, value in metrics[metric].items()
                }
            )


def log_artifacts(config: DictConfig, loggers: list[Logger], folder: Path, ranking: Path) -> None:
    """Uploads weights and rankings of a finished run as W&B artifacts, if logger.artifacts is set.

    Args:
        config: The resolved run config.
        loggers: The loggers of the run.
        folder: Folder of the run.
        ranking: Folder of its rankings.
    """
    if not config.logger.artifacts:
        return
    for log in loggers:
        if isinstance(log, WandbLogger):
            import wandb

            for kind, content in (("weights", folder / WEIGHTS), ("rankings", ranking)):
                # A baseline such as popularity has no weights.
                if content.is_dir():
                    artifact = wandb.Artifact(f"{folder.name}-{kind}", type=kind)
                    # A copy in W&B's staging folder would double the disk space of a model.
                    artifact.add_dir(str(content), policy="immutable")
                    log.experiment.log_artifact(artifact)


def _tensorboard(folder: Path) -> TensorBoardLogger:
    try:
        return TensorBoardLogger(folder, name=None, version="tensorboard")
    except ModuleNotFoundError as error:
        raise InputError("logger=tensorboard needs TensorBoard. Run pip install 'llmrec[tensorboard]'") from error


def _wandb(config: DictConfig, folder: Path, label: RunLabel) -> list[WandbLogger]:
    """Starts W&B, online only if the user is logged in or WANDB_MODE asks for it; [] if it cannot start."""
    try:
        import wandb
    except ImportError:
        logger.warning("W&B is not installed: only curves.csv is written (pip install wandb, or set logger=csv)")
        return []
    mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
    for attempt in dict.fromkeys([mode, "offline"]):
        try:
            # Lightning would start W&B at the first logged value, where a failure would end the training.
            run = wandb.init(
                project=re.sub(r"[/\\#?%:]", "-", config.logger.project)[:MAX_NAME_LENGTH],
                group=os.environ.get("WANDB_RUN_GROUP", "")[:MAX_NAME_LENGTH] or None,
                dir=folder,
                name=label.name[:MAX_NAME_LENGTH],
                tags=sorted({tag[:MAX_TAG_LENGTH] for tag in label.tags if tag}),
                id=folder.name,
                # WANDB_MODE may be any text; W&B itself refuses an unknown mode.
                mode=attempt,  # type: ignore[arg-type]
                resume="allow",
                config=plain(config),
                settings=wandb.Settings(silent=True, init_timeout=INIT_TIMEOUT_S),
            )
        except Exception as error:
            # W&B raises errors of many classes, and none of them may end a training.
            logger.warning("W&B could not start in mode %s (%s)", attempt, first_line(error))
            # Its service still holds the ID of the failed run, and would refuse the next one.
            wandb.teardown()
        else:
            run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
            logger.info("W&B: %s, %s", attempt, folder / "wandb")
            return [WandbLogger(experiment=run)]
    return []


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
