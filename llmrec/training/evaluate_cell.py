"""Ranks the splits asked for by a trained cell and writes the record of the evaluation."""

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
from llmrec.training.cells import Cell, is_baseline
from llmrec.training.measure_catalogue import catalogue_measure
from llmrec.training.measure_lists import lists_measure

SPLITS = (["valid"], ["test"], ["valid", "test"])
"""What may be asked for together."""
Measure = Callable[[str], tuple[dict[str, Any], pa.Table, dict[str, float]]]
"""The metrics of a split, the table of its users, and seconds that are worth a name of their own."""


def evaluate_cell(
    config: DictConfig, dataset: Dataset, cell: Cell, folder: Path, features: ReferenceFeatures
) -> dict[str, Any]:
    """Ranks what the cell's task asks for in evaluation.splits, writes the record into `folder`, returns its metrics.

    config: the run's config with the groups decoding and evaluation as they should be used; features: of the titles.
    """
    started = time.perf_counter()
    measure = _open(config, dataset, cell, features)
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
        "training": cell.folder.name,
        "precision": _precision(config),
        "splits": metrics,
        "seconds": seconds,
    }
    if is_rank_zero():
        write_record(folder, record, tables)
    barrier()
    return record


def _open(config: DictConfig, dataset: Dataset, cell: Cell, features: ReferenceFeatures) -> Measure:
    device = str(run_device(config.trainer))
    if dataset.lists:
        return lists_measure(config, dataset, cell, device)
    return catalogue_measure(config, dataset, cell, device, features)


def _precision(config: DictConfig) -> dict[str, Any] | None:
    """What the rankings were computed in; None of a baseline."""
    return None if is_baseline(config) else precision_record(config)


def check_evaluation(config: DictConfig) -> None:
    """Raises InputError when decoding is of another task, or its settings or those of the evaluation cannot be used."""
    task, decodes = config.task.name, "rerank" if "bootstrap" in config.decoding else "next_item"
    if task != decodes:
        fitting = "permutation" if task == "rerank" else "trie or vocab"
        raise InputError(f"decoding is of task={decodes}, the run of task={task}: take decoding={fitting}")
    if config.evaluation.splits not in SPLITS:
        raise InputError(f"evaluation.splits={config.evaluation.splits}: choose [valid,test], [valid] or [test]")
    least = {"evaluation.sample_seed": 0}
    if task == "rerank":
        least |= {"evaluation.orders": 1, "decoding.bootstrap": 1, "decoding.seed": 0}
    for place, smallest in least.items():
        value = OmegaConf.select(config, place)
        if type(value) is not int or value < smallest:
            raise InputError(f"{place}={value}: give a whole number of at least {smallest}")
