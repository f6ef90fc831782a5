"""Fits a baseline's cell: from the resolved config to weights, curves and what training.json should say."""

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
from llmrec.training.checkpoints import CHECKPOINTS
from llmrec.training.curves import CurvesLogger


def fit_baseline(
    config: DictConfig, dataset: Dataset, cell: Path, device: str, loggers: list[Logger]
) -> dict[str, Any]:
    """Fits and leaves `weights/` and curves.csv in the cell; an interrupted fit goes on where it stood.

    Returns what training.json should say of it. Raises InputError for settings or rows that cannot be used.
    """
    started = time.perf_counter()
    baseline = build_baseline(config.baseline)
    checkpoint = cell / CHECKPOINTS / "fit.ckpt"
    found = baseline.fit(
        dataset, Fitting(config.seed, device, checkpoint, _Curves(loggers).log, bool(config.trainer.progress))
    )
    # What stands there is of a fit that was killed after it had saved: the same weights, made again.
    shutil.rmtree(cell / WEIGHTS, ignore_errors=True)
    with atomic_folder(cell / WEIGHTS) as temporary:
        baseline.save(temporary)
    return {
        "baseline": found,
        "identity": {"catalogue": catalogue_hash(dataset.items)},
        "seconds": {"fitting": time.perf_counter() - started},
    }


class _Curves:
    """Logs values; what an interrupted fit had logged at the first step or later is dropped, for it is made again."""

    def __init__(self, loggers: list[Logger]) -> None:
        self.loggers, self.begun = loggers, False

    def log(self, values: dict[str, float], step: int) -> None:
        """Values of one step, to every logger."""
        if not self.begun:
            next(log for log in self.loggers if isinstance(log, CurvesLogger)).rewind(step)
            self.begun = True
        for log in self.loggers:
            log.log_metrics(values, step)
