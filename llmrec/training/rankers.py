"""Whoever ranks the catalogue for rows of a dataset: a tuned language model by its beam search, or a baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import trained_backbone
from llmrec.baselines.base import Baseline
from llmrec.baselines.open import open_baseline
from llmrec.catalogue.cached import catalogue_hash
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import history_leaves, rank_titles
from llmrec.decoding.unconstrained import unconstrained
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.training.cells import Cell, is_baseline
from llmrec.training.train import identity

CHANGED = {"catalogue": "another catalogue", "tokenizer": "another tokenizer", "base_weights": "other base weights"}
"""What errors call a part of a cell's identity that is not the same any more."""
Progress = Callable[[int], None]
"""Is told how many rows are finished."""


class Ranker(Protocol):
    """Ranks titles for rows."""

    name: str
    """What tables call it."""

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Distinct titles int32 [rows, beams], best first, -1 = no more, and their scores float32."""
        ...

    def target_titles(self, rows: Rows) -> np.ndarray:
        """int32 [rows]: the title that counts as a hit."""
        ...

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        """What it says where nothing holds it to the catalogue; {} for one that knows nothing else."""
        ...


class ModelRanker:
    """A tuned backbone."""

    name = "model"

    def __init__(self, backbone: Backbone, data: NextItemData, decoding: DictConfig) -> None:
        self.backbone, self.data, self.decoding = backbone, data, decoding

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """As Ranker.rank, by the constrained beam search."""
        decoding, data = self.decoding, self.data
        settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
        excluded = history_leaves(rows, data.dataset.items, data.trie) if decoding.exclude_history else None
        prompts = data.split(rows).prompts
        return map_across_ranks(
            len(rows),
            lambda mine: rank_titles(
                self.backbone, data.trie, prompts.take(mine), settings, None if excluded is None else excluded[mine],
                progress,
            ),
        )  # fmt: skip

    def target_titles(self, rows: Rows) -> np.ndarray:
        """As Ranker.target_titles; a tokenizer may make several titles one."""
        return self.data.target_titles(rows)

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        """As Ranker.unconstrained, by greedy generation."""
        return dict(unconstrained(self.backbone, self.data, self.data.split(rows).prompts, progress))


class BaselineRanker:
    """A fitted baseline; its lists are as long as the beam would be."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset, decoding: DictConfig) -> None:
        self.name, self.baseline, self.dataset, self.decoding = name, baseline, dataset, decoding

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """As Ranker.rank."""
        return self.baseline.rank(rows, split, self.decoding.beams, self.decoding.exclude_history, progress)

    def target_titles(self, rows: Rows) -> np.ndarray:
        """As Ranker.target_titles."""
        titles: np.ndarray = self.dataset.items.title_of[rows.target]
        return titles

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        """Nothing: it knows no texts but titles."""
        return {}


def open_ranker(config: DictConfig, dataset: Dataset, cell: Cell, device: str) -> Ranker:
    """The recommender of a trained cell, on a device; config: the cell's, decoding as it should be used.

    Raises InputError when catalogue or tokenizer are not those that the cell was trained with.
    """
    if is_baseline(config):
        return BaselineRanker(config.baseline.name, open_fitted(config, dataset, cell), dataset, config.decoding)
    backbone, data = open_trained(config, dataset, cell)
    return ModelRanker(backbone, data, config.decoding)


def open_fitted(config: DictConfig, dataset: Dataset, cell: Cell) -> Baseline:
    """The baseline of a fitted cell. Raises InputError when the catalogue is not the one that it was fitted to."""
    check_identity(cell, "catalogue", catalogue_hash(dataset.items))
    return open_baseline(cell.folder, config.baseline, dataset)


def open_trained(config: DictConfig, dataset: Dataset, cell: Cell) -> tuple[Backbone, NextItemData]:
    """The trained backbone of a cell and the data as its tokenizer sees them.

    Raises InputError for a baseline's cell, or when catalogue or tokenizer are not those it was trained with.
    """
    if is_baseline(config):
        raise InputError(f"{cell.folder} holds a baseline ({config.baseline.name}), not a language model: give another")
    cache_dir = Path(config.paths.cache)
    backbone = trained_backbone(config, dataset, cache_dir, cell.folder)
    for name, now in identity(backbone, dataset).items():
        check_identity(cell, name, now)
    return backbone, NextItemData(dataset, backbone, config, cache_dir)


def check_identity(cell: Cell, name: str, now: str) -> None:
    """Raises InputError when `now` is not the hash of the cell's catalogue, tokenizer or base weights (name)."""
    remedy = "LLMREC_DATA (or paths.data)" if name == "catalogue" else "backbone.path (or LLMREC_CACHE)"
    # Cells of earlier versions did not keep the base weights' hash.
    trained_with = cell.training["identity"].get(name, now)
    if now != trained_with:
        raise InputError(
            f"{cell.folder} was trained with {CHANGED[name]} ({trained_with[:12]}, now {now[:12]}): its weights mean "
            f"nothing here. Point {remedy} to what it was trained with, or train again"
        )
