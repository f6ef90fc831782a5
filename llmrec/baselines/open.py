"""A fitted baseline, opened from the folder of its cell."""

from pathlib import Path

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from llmrec.baselines.base import Baseline
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError

WEIGHTS = "weights"


def build_baseline(config: DictConfig) -> Baseline:
    """The baseline of a resolved group. Raises InputError when its settings cannot be used."""
    settings = {key: value for key, value in config.items() if key != "name"}
    try:
        baseline: Baseline = hydra.utils.instantiate(settings)
    except InstantiationException as error:
        raise InputError(f"the baseline cannot be made from its settings: {error}") from error
    return baseline


def open_baseline(cell: Path, dataset: Dataset) -> Baseline:
    """The baseline that a cell's training left. Raises InputError when it is not of this catalogue."""
    config = OmegaConf.load(cell / "config.yaml")
    baseline = build_baseline(config.baseline)
    if not (cell / WEIGHTS).is_dir():
        raise InputError(f"{cell / WEIGHTS} is missing: fit the baseline again (the same command, without its folder)")
    baseline.load(cell / WEIGHTS, dataset)
    return baseline
