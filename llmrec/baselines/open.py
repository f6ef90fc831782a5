"""Builds baselines from their settings and opens fitted ones from the folders of their runs."""

from pathlib import Path

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig

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


def open_baseline(cell: Path, config: DictConfig, dataset: Dataset) -> Baseline:
    """Opens the baseline that a run's training left.

    Args:
        cell: The run's folder, of which only the weights are read.
        config: The resolved group `baseline` of the command at hand; what it names is instantiated.
        dataset: The data that it was fitted to.

    Raises:
        InputError: When the weights are missing or of another catalogue.
    """
    baseline = build_baseline(config)
    if not (cell / WEIGHTS).is_dir():
        raise InputError(f"{cell / WEIGHTS} is missing: fit the baseline again (the same command, without its folder)")
    baseline.load(cell / WEIGHTS, dataset)
    return baseline
