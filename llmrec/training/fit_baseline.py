"""Fits a baseline: from the resolved config to weights, curves and the content of training.json."""

import shutil
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from llmrec.atomic import atomic_folder
from llmrec.baselines.base import Fitting
from llmrec.baselines.open import WEIGHTS, build_baseline
from llmrec.catalogue.cached import catalogue_hash
from llmrec.datasets.dataset import Dataset
from llmrec.training.curves import CurvesLogger
from llmrec.training.run_folder import CHECKPOINTS


def fit_baseline(
    config: DictConfig, dataset: Dataset, folder: Path, device: str, loggers: list[Logger]
) -> dict[str, Any]:
    """Fits a baseline and writes `weights/` and curves.csv; resumes an interrupted fit.

    Args:
        config: The resolved run config.
        dataset: The opened dataset of the run.
        folder: Folder of the run.
        device: Device to fit on, such as `cuda`.
        loggers: Loggers of the fit, a CurvesLogger among them.

    Returns:
        What is written to training.json about the fit.

    Raises:
        InputError: The settings or the rows cannot be used.
    """
    started = time.perf_counter()
    baseline = build_baseline(config.baseline)
    checkpoint = folder / CHECKPOINTS / "fit.ckpt"
    fit_report = baseline.fit(
        dataset, Fitting(config.seed, device, checkpoint, _Curves(loggers).log, bool(config.trainer.progress))
    )
    # A fit that was killed after it had saved leaves the folder; fitting again gives the same weights.
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    with atomic_folder(folder / WEIGHTS) as temporary:
        baseline.save(temporary)
    return {
        "baseline": fit_report,
        "identity": {"catalogue": catalogue_hash(dataset.items)},
        "seconds": {"fitting": time.perf_counter() - started},
    }


class _Curves:
    """Logs values; first removes those that an interrupted fit had logged at the first step or later."""

    def __init__(self, loggers: list[Logger]) -> None:
        self.loggers, self.has_started = loggers, False

    def log(self, values: dict[str, float], step: int) -> None:
        """Logs the values of one step with every logger."""
        if not self.has_started:
            next(log for log in self.loggers if isinstance(log, CurvesLogger)).rewind(step)
            self.has_started = True
        for log in self.loggers:
            log.log_metrics(values, step)
