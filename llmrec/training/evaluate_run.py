"""Evaluates a trained run on the requested splits and writes the evaluation's record."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.device import precision_record, run_device
from llmrec.collectives import barrier, is_rank_zero
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.record import write_record
from llmrec.evaluation.reference_features import ReferenceFeatures
from llmrec.plain import plain
from llmrec.training.measure_catalogue import catalogue_measure
from llmrec.training.measure_lists import lists_measure
from llmrec.training.run_folder import RunFolder, is_baseline

SPLITS = (["valid"], ["test"], ["valid", "test"])
"""Allowed values of evaluation.splits."""
Measure = Callable[[str], tuple[dict[str, Any], pa.Table, dict[str, float]]]
"""Maps a split to its metrics, its table with one row per user or list, and named parts of its time in seconds."""


def evaluate_run(
    config: DictConfig, dataset: Dataset, run: RunFolder, folder: Path, features: ReferenceFeatures
) -> dict[str, Any]:
    """Evaluates a trained run on evaluation.splits and writes the record.

    Args:
        config: The run's config, with the decoding and evaluation settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        folder: Folder to write the record to.
        features: Reference features of the titles.

    Returns:
        The record, on every rank; its metrics are under `splits`.
    """
    started = time.perf_counter()
    measure = _open(config, dataset, run, features)
    metrics: dict[str, Any] = {}
    tables: dict[str, pa.Table] = {}
    seconds = {"opening": time.perf_counter() - started}
    for split in config.evaluation.splits:
        started = time.perf_counter()
        metrics[split], tables[split], parts = measure(split)
        seconds |= {split: time.perf_counter() - started, **parts}
    record = {
        "task": plain(config.task),
        "decoding": plain(config.decoding),
        "evaluation": plain(config.evaluation),
        "reference": dict(features.models),
        "training": run.folder.name,
        "precision": _precision(config),
        "splits": metrics,
        "seconds": seconds,
    }
    if is_rank_zero():
        write_record(folder, record, tables)
    barrier()
    return record


def _open(config: DictConfig, dataset: Dataset, run: RunFolder, features: ReferenceFeatures) -> Measure:
    device = str(run_device(config.trainer))
    if dataset.lists:
        return lists_measure(config, dataset, run, device)
    return catalogue_measure(config, dataset, run, device, features)


def _precision(config: DictConfig) -> dict[str, Any] | None:
    """Returns the precision of the model's computations; None for a baseline."""
    return None if is_baseline(config) else precision_record(config)


def check_evaluation(config: DictConfig) -> None:
    """Checks the decoding and evaluation settings.

    Raises:
        InputError: The decoding is for another task, or a value cannot be used.
    """
    task, decoding_task = config.task.name, "rerank" if "bootstrap" in config.decoding else "next_item"
    if task != decoding_task:
        fitting = "permutation" if task == "rerank" else "trie or vocab"
        raise InputError(f"decoding is for task={decoding_task}, but the run has task={task}: set decoding={fitting}")
    if config.evaluation.splits not in SPLITS:
        raise InputError(f"evaluation.splits={config.evaluation.splits}: choose [valid,test], [valid] or [test]")
    minimums = {"evaluation.sample_seed": 0}
    if task == "rerank":
        minimums |= {"evaluation.orders": 1, "decoding.bootstrap": 1, "decoding.seed": 0}
    for key, minimum in minimums.items():
        value = OmegaConf.select(config, key)
        if type(value) is not int or value < minimum:
            raise InputError(f"{key}={value}: give a whole number of at least {minimum}")
