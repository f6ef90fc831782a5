"""Ranks validation and test by a trained cell and writes the record of the evaluation."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.evaluation.declared_model import declared_model
from llmrec.evaluation.declared_views import TitleViews, declared_views
from llmrec.evaluation.record import split_record, write_record
from llmrec.training.cells import Cell
from llmrec.training.rankers import Ranker, open_ranker

SPLITS = ("valid", "test")


def evaluate_cell(config: DictConfig, dataset: Dataset, cell: Cell, folder: Path) -> dict[str, Any]:
    """Ranks the catalogue for the users of validation and test, writes the record into `folder`, returns its metrics.

    config: the run's config with the groups decoding and evaluation as they should be used.
    """
    started = time.perf_counter()
    ranker = open_ranker(config, dataset, cell, run_device(config))
    views = declared_views(config, dataset, Path(config.paths.cache), run_device(config))
    metrics: dict[str, Any] = {}
    tables: dict[str, pa.Table] = {}
    seconds = {"opening": time.perf_counter() - started}
    for split in SPLITS:
        started = time.perf_counter()
        metrics[split], tables[split] = _measure(config, dataset, ranker, split, views)
        seconds[split] = time.perf_counter() - started
    record = {
        "decoding": OmegaConf.to_container(config.decoding, resolve=True),
        "evaluation": OmegaConf.to_container(config.evaluation, resolve=True),
        "relevance_model": declared_model(config.evaluation.relevance_model, config.scale),
        "training": cell.folder.name,
        "splits": metrics,
        "seconds": seconds,
    }
    write_record(folder, record, tables)
    return record


def _measure(
    config: DictConfig, dataset: Dataset, ranker: Ranker, split: str, views: TitleViews
) -> tuple[dict[str, Any], pa.Table]:
    rows: Rows = getattr(dataset, split)
    rows = rows.take(draw(len(rows), config.evaluation.users, config.evaluation.sample_seed))
    with _bar(config, f"decoding {split}", rows) as bar:
        titles, scores = ranker.rank(rows, split, bar.update)
    metrics, table = split_record(
        titles, scores, rows, dataset, split, config.decoding.exclude_history, ranker.target_titles(rows), views
    )
    metrics["recommender"] = ranker.name
    if config.evaluation.unconstrained:
        with _bar(config, f"generating {split}", rows) as bar:
            metrics["unconstrained"] = ranker.unconstrained(rows, bar.update)
    return metrics, table


def _bar(config: DictConfig, what: str, rows: Rows) -> tqdm:
    return tqdm(total=len(rows), desc=what, unit="user", disable=None if config.trainer.progress else True)


def run_device(config: DictConfig) -> str:
    """Where a trained backbone is decoded."""
    return "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
