"""Decodes a trained cell over validation and test and writes the record of the evaluation."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import trained_backbone
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.dataset import Dataset, draw
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import history_leaves, rank_titles
from llmrec.errors import InputError
from llmrec.evaluation.declared_model import declared_model
from llmrec.evaluation.declared_relevance import declared_relevance
from llmrec.evaluation.record import split_record, write_record
from llmrec.training.cells import Cell
from llmrec.training.train import identity

SPLITS = ("valid", "test")


def open_trained(config: DictConfig, dataset: Dataset, cell: Cell) -> tuple[Backbone, NextItemData]:
    """The trained backbone of a cell and the data as its tokenizer sees them.

    Raises InputError when catalogue or tokenizer are not those that the cell was trained with.
    """
    cache_dir = Path(config.paths.cache)
    backbone = trained_backbone(config, dataset, cache_dir, cell.folder)
    now = identity(backbone, dataset)
    for name, remedy in (("catalogue", "LLMREC_DATA (or paths.data)"), ("tokenizer", "backbone.path")):
        trained_with = cell.training["identity"][name]
        if now[name] != trained_with:
            raise InputError(
                f"{cell.folder} was trained with another {name} ({trained_with[:12]}, now {now[name][:12]}): its "
                f"weights mean nothing here. Point {remedy} to what it was trained with, or train again"
            )
    return backbone, NextItemData(dataset, backbone, config, cache_dir)


def evaluate_cell(config: DictConfig, dataset: Dataset, cell: Cell, folder: Path) -> dict[str, Any]:
    """Ranks the catalogue for the users of validation and test, writes the record into `folder`, returns its metrics.

    config: the run's config with the groups decoding and evaluation as they should be used.
    """
    started = time.perf_counter()
    backbone, data = open_trained(config, dataset, cell)
    backbone.to(run_device(config))
    relevance = declared_relevance(config, dataset, Path(config.paths.cache), run_device(config))
    metrics: dict[str, Any] = {}
    tables: dict[str, pa.Table] = {}
    seconds = {"opening": time.perf_counter() - started}
    for split in SPLITS:
        started = time.perf_counter()
        metrics[split], tables[split] = _measure(config, data, backbone, split, relevance)
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
    config: DictConfig, data: NextItemData, backbone: Backbone, split: str, relevance: np.ndarray | None
) -> tuple[dict[str, Any], pa.Table]:
    dataset, decoding = data.dataset, config.decoding
    rows = getattr(dataset, split)
    rows = rows.take(draw(len(rows), config.evaluation.users, config.evaluation.sample_seed))
    settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
    excluded = history_leaves(rows, dataset.items, data.trie) if decoding.exclude_history else None
    with tqdm(
        total=len(rows), desc=f"decoding {split}", unit="user", disable=None if config.trainer.progress else True
    ) as bar:
        titles, scores = rank_titles(backbone, data.trie, data.split(rows).prompts, settings, excluded, bar.update)
    return split_record(
        titles, scores, rows, dataset, split, decoding.exclude_history, data.target_titles(rows), relevance
    )


def run_device(config: DictConfig) -> str:
    """Where a trained backbone is decoded."""
    return "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
