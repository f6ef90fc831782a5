"""Builds a baseline from its config, and opens a fitted baseline from the folder of its run."""

from pathlib import Path

from omegaconf import DictConfig

from llmrec.baselines.base import Baseline
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.manifest import folder_manifest, retrain
from llmrec.plain import plain
from llmrec.settings.objects import build

WEIGHTS = "weights"


def build_baseline(config: DictConfig) -> Baseline:
    """Builds the baseline of the resolved Hydra group `baseline`.

    Raises:
        InputError: If a setting is invalid.
    """
    baseline: Baseline = build(plain(config), "baseline")
    return baseline


def open_baseline(run_folder: Path, config: DictConfig, dataset: Dataset) -> Baseline:
    """Opens the fitted baseline of a run.

    Args:
        run_folder: The folder of the run, of which only the weights are read.
        config: The resolved config group `baseline` of the command at hand. What it names is instantiated.
        dataset: The dataset that the baseline was fitted to.

    Raises:
        InputError: If its files are missing or damaged, or belong to another catalogue.
    """
    baseline = build_baseline(config)
    if not (run_folder / WEIGHTS).is_dir():
        raise InputError(
            f"{run_folder / WEIGHTS} is missing. Fit the baseline again: delete the folder {run_folder} and repeat its "
            "command"
        )
    folder_manifest(run_folder).check(retrain(run_folder), WEIGHTS)
    baseline.load(run_folder / WEIGHTS, dataset)
    return baseline
