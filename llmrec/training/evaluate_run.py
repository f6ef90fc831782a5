"""Evaluates a trained run: ranks the requested splits, unless that is done, and computes the metrics."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.backbones.device import precision_record
from llmrec.collectives import barrier, is_rank_zero
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.record import read_facts, read_part, write_facts, write_part, write_record
from llmrec.manifest import damage_named, rank_again
from llmrec.plain import plain
from llmrec.protocol import protocol_id
from llmrec.tasks.base import RANKING, Task, build_metrics, build_task
from llmrec.training.open_run import open_ranker
from llmrec.training.run_folder import MEASURED_BY, RunFolder, is_baseline, measuring_key_of, run_code

PARTS = "parts"
"""Folder with the parts of a ranking that is not finished."""
Rankings = dict[str, dict[str, pa.Table]]
"""Tables by part and split."""


def evaluate_run(
    config: DictConfig, dataset: Dataset, run: RunFolder, folder: Path, features: ReferenceFeatures
) -> dict[str, Any]:
    """Evaluates a trained run on evaluation.splits and writes its rankings and record.

    Args:
        config: The run's config, with the decoding and evaluation settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        folder: Folder of the ranking.
        features: Reference features of the titles.

    Returns:
        The record, on every rank; its metrics are under `splits`.
    """
    task = build_task(config)
    rankings = _rankings(task, config, dataset, run, folder)
    barrier()
    return measure_rankings(task, rankings, config, dataset, run, folder, features)


def measure_rankings(
    task: Task,
    rankings: Rankings,
    config: DictConfig,
    dataset: Dataset,
    run: RunFolder,
    folder: Path,
    features: ReferenceFeatures,
) -> dict[str, Any]:
    """Computes the metrics of rankings, without a model, and writes the record.

    Args:
        task: The run's task.
        rankings: Its rankings.
        config: The run's config, with the decoding and evaluation settings of the rankings.
        dataset: The run's dataset.
        run: The run's folder.
        folder: Folder of the ranking.
        features: Reference features of the titles.

    Returns:
        The record.

    Raises:
        InputError: The rankings are damaged, or of other data than the dataset has now.
    """
    metrics, facts = build_metrics(task, config), read_facts(folder)
    splits: dict[str, Any] = {}
    rows: dict[str, pa.Table] = {}
    for split in config.evaluation.splits:
        parts = {part: tables[split] for part, tables in rankings.items()}
        try:
            splits[split], rows[split] = task.record(parts, dataset, split, config, features, metrics)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        splits[split]["recommender"] = facts["recommender"]
        splits[split]["protocol"] = protocol_id(config, run.training, split)
    record = _provenance(task, config, run, features) | {
        "precision": facts["precision"],
        "splits": splits,
        "seconds": facts["seconds"],
    }
    if is_rank_zero():
        write_record(folder, record, rows)
    barrier()
    return record


def _provenance(task: Task, config: DictConfig, run: RunFolder, features: ReferenceFeatures) -> dict[str, Any]:
    """Returns the settings and the code by which the rankings of a run were made and measured."""
    return {
        "task": plain(config.task),
        "headline": {"path": task.headline, "label": task.headline_label},
        "decoding": plain(config.decoding),
        "evaluation": plain(config.evaluation),
        "metrics": plain(config.metrics),
        "reference": dict(features.models),
        "training": run.folder.name,
        MEASURED_BY: measuring_key_of(config),
        "code": {step: asdict(code) for step, code in run_code(config).items() if step in ("ranking", "measuring")},
    }


def read_rankings(task: Task, config: DictConfig, folder: Path) -> tuple[Rankings, list[str]]:
    """Reads the rankings that an evaluation needs, as far as they are done.

    Returns:
        The rankings, and the names of the missing parts.

    Raises:
        InputError: A file is damaged.
    """
    found = {part: read_part(folder, part) for part in task.parts(config)}
    missing = [part for part, tables in found.items() if tables is None]
    rankings = {part: tables for part, tables in found.items() if tables is not None}
    for part, tables in rankings.items():
        with damage_named(folder / f"{part}.parquet", rank_again(folder)):
            rankings[part] = {split: tables[split] for split in config.evaluation.splits}
    return rankings, missing


def _rankings(task: Task, config: DictConfig, dataset: Dataset, run: RunFolder, folder: Path) -> Rankings:
    """Returns the rankings of a run; makes and writes those that are missing."""
    rankings, missing = read_rankings(task, config, folder)
    # Rank 0 writes below what all ranks look for here.
    barrier()
    if not missing:
        return rankings
    started = time.perf_counter()
    ranker = open_ranker(config, dataset, run, task)
    facts = read_facts(folder) or {
        "recommender": ranker.name,
        "precision": None if is_baseline(config) else precision_record(config),
        "seconds": {},
    }
    facts["seconds"]["opening"] = time.perf_counter() - started
    for part in missing:
        rankings[part] = {}
        for split in config.evaluation.splits:
            started = time.perf_counter()
            name = split if part == RANKING else f"{split}, {part}"
            with _bar(config, name, task.passes(part, dataset, split, config), task.unit) as bar:
                parts = folder / PARTS / f"{part}-{split}"
                rankings[part][split] = task.rank(part, ranker, dataset, split, config, parts, bar.update)
            facts["seconds"][name] = time.perf_counter() - started
        facts |= {"decoding": plain(config.decoding), "evaluation": plain(config.evaluation)}
        if is_rank_zero():
            write_part(folder, part, rankings[part])
            write_facts(folder, facts)
            shutil.rmtree(folder / PARTS, ignore_errors=True)
    # All ranks read the facts.
    barrier()
    return rankings


def _bar(config: DictConfig, name: str, total: int, unit: str) -> tqdm:
    """Returns a progress bar, which is hidden if trainer.progress=false or stderr is not a terminal."""
    disable = None if config.trainer.progress else True
    return tqdm(total=total, desc=f"ranking {name}", unit=unit, disable=disable)


def check_evaluation(config: DictConfig) -> None:
    """Checks the decoding, evaluation and metric settings.

    Raises:
        InputError: The decoding is for another task, or a value cannot be used.
    """
    task = build_task(config)
    task.check(config)
    build_metrics(task, config)
