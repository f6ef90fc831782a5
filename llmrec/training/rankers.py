"""Rankers of the catalogue: a tuned language model with beam search, or a fitted baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.baselines.open import open_baseline
from llmrec.catalogue.cached import catalogue_hash
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.open_backbone import trained_backbone
from llmrec.decoding.rank import history_leaves, rank_titles
from llmrec.decoding.unconstrained import unconstrained
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.training.run_folder import RunFolder, is_baseline
from llmrec.training.train import identity

CHANGED = {"catalogue": "another catalogue", "tokenizer": "another tokenizer", "base_weights": "other base weights"}
"""Parts of the identity of trained weights, as error messages name one that has changed."""
Progress = Callable[[int], None]
"""Called with the number of rows that have been finished since the last call."""


class Ranker(Protocol):
    """Ranks the titles of the catalogue for rows of a dataset.

    Attributes:
        name: Name in tables.
    """

    name: str

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Ranks titles for each row.

        Args:
            rows: The rows.
            split: Name of their split, valid or test.
            progress: Called with numbers of finished rows.

        Returns:
            Distinct titles, int32 `[rows, beams]`, best first, -1 = padding, and their scores, float32 `[rows, beams]`.
        """
        ...

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row that counts as a hit, int32 `[rows]`."""
        ...

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        """Returns metrics of generation without the trie; {} for a ranker that can only rank titles."""
        ...


class ModelRanker:
    """A tuned backbone, decoded by constrained beam search."""

    name = "model"

    def __init__(self, backbone: Backbone, data: NextItemData, decoding: DictConfig) -> None:
        self.backbone, self.data, self.decoding = backbone, data, decoding

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        decoding, data = self.decoding, self.data
        settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
        excluded = history_leaves(rows, data.dataset.items, data.trie) if decoding.exclude_history else None
        prompts = data.split(rows).prompts
        return map_across_ranks(
            len(rows),
            lambda part: rank_titles(
                self.backbone, data.trie, prompts.take(part), settings, None if excluded is None else excluded[part],
                progress,
            ),
        )  # fmt: skip

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row that counts as a hit, int32 `[rows]`; titles with equal tokens count as one."""
        return self.data.target_titles(rows)

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        """Returns metrics of greedy generation without the trie."""
        return dict(unconstrained(self.backbone, self.data, self.data.split(rows).prompts, progress))


class BaselineRanker:
    """A fitted baseline; its lists have as many titles as a language model would have beams."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset, decoding: DictConfig) -> None:
        self.name, self.baseline, self.dataset, self.decoding = name, baseline, dataset, decoding

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        return self.baseline.rank(rows, split, self.decoding.beams, self.decoding.exclude_history, progress)

    def target_titles(self, rows: Rows) -> np.ndarray:
        titles: np.ndarray = self.dataset.items.title_of[rows.target]
        return titles

    def unconstrained(self, rows: Rows, progress: Progress) -> dict[str, Any]:
        return {}


def open_ranker(config: DictConfig, dataset: Dataset, run: RunFolder, device: str) -> Ranker:
    """Opens the ranker of a trained run.

    Args:
        config: The run's config, with the decoding settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        device: Device of the model, such as `cuda`.

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    if is_baseline(config):
        return BaselineRanker(config.baseline.name, open_fitted(config, dataset, run), dataset, config.decoding)
    backbone, data = open_trained(config, dataset, run)
    return ModelRanker(backbone, data, config.decoding)


def open_fitted(config: DictConfig, dataset: Dataset, run: RunFolder) -> Baseline:
    """Opens the baseline of a fitted run.

    Raises:
        InputError: The catalogue is not the one that the baseline was fitted to.
    """
    check_identity(run, "catalogue", catalogue_hash(dataset.items))
    return open_baseline(run.folder, config.baseline, dataset)


def open_trained(config: DictConfig, dataset: Dataset, run: RunFolder) -> tuple[Backbone, NextItemData]:
    """Opens the trained backbone of a run and the data for its tokenizer.

    Raises:
        InputError: The run is a baseline, or catalogue, tokenizer or base weights are not those of its training.
    """
    if is_baseline(config):
        raise InputError(f"{run.folder} holds a baseline ({config.baseline.name}), not a language model: give another")
    cache_dir = Path(config.paths.cache)
    backbone = trained_backbone(config, dataset, cache_dir, run.folder)
    for name, now in identity(backbone, dataset).items():
        check_identity(run, name, now)
    return backbone, NextItemData(dataset, backbone, config, cache_dir)


def check_identity(run: RunFolder, name: str, now: str) -> None:
    """Checks one part of the identity of a run's weights.

    Args:
        run: The run's folder.
        name: catalogue, tokenizer or base_weights.
        now: The part's current hash.

    Raises:
        InputError: The run was trained with another hash.
    """
    remedy = "LLMREC_DATA (or paths.data)" if name == "catalogue" else "backbone.path (or LLMREC_CACHE)"
    # Runs of earlier versions did not store the hash of the base weights.
    trained_with = run.training["identity"].get(name, now)
    if now != trained_with:
        raise InputError(
            f"{run.folder} was trained with {CHANGED[name]} ({trained_with[:12]}, now {now[:12]}), so its "
            f"weights cannot be used. Point {remedy} to what it was trained with, or train again"
        )
