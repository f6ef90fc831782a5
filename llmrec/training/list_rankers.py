"""Whoever ranks candidate lists: a tuned language model by its generated ranking, or a baseline by its scores."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import trained_backbone
from llmrec.baselines.base import Baseline
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.decoding.rank_lists import free_rankings, rank_lists
from llmrec.evaluation.graded import borda
from llmrec.evaluation.list_record import accuracies, order_by_scores
from llmrec.examples.rerank import RerankData
from llmrec.training.cells import Cell, is_baseline
from llmrec.training.rankers import Progress, check_identity, open_fitted
from llmrec.training.train import identity


class ListRanker(Protocol):
    """Ranks the candidates of lists."""

    name: str
    """What tables call it."""

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        """int64 [lists, m]: places of the candidates in the order in which `lists` show them, best first."""
        ...

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        """What it says where nothing holds it to a permutation; {} for one that knows nothing else."""
        ...


class ModelListRanker:
    """A tuned backbone."""

    name = "model"

    def __init__(self, backbone: Backbone, data: RerankData, decoding: DictConfig) -> None:
        self.backbone, self.data, self.bootstrap = backbone, data, int(decoding.bootstrap)
        self.seed, self.calls = int(decoding.seed), Counter[str]()

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        """As ListRanker.rank: as shown, or the Borda sum of the rankings of so many independent orders."""
        if self.bootstrap == 1:
            return self._rank(lists, progress)
        self.calls[split] += 1
        # By split, so that how validation is measured does not change test.
        generator = np.random.default_rng([self.seed, *split.encode(), self.calls[split]])
        orders = generator.random((self.bootstrap, *lists.candidates.shape)).argsort(axis=2)
        return borda(np.stack([rank_shown(lists, order, lambda of: self._rank(of, progress)) for order in orders]))

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        """As ListRanker.unconstrained, by greedy generation: parse_failure_rate, lists, and NDCG of what was parsed."""
        prompts = self.data.prompts(lists).prompts
        order, failed = free_rankings(self.backbone, self.data.identifiers, prompts, seed, progress)
        return {"parse_failure_rate": float(failed.mean()), "lists": len(lists), **accuracies(order, lists)}

    def _rank(self, lists: Lists, progress: Progress) -> np.ndarray:
        return map_across_ranks(
            len(lists),
            lambda mine: rank_lists(
                self.backbone, self.data.trie, self.data.prompts(lists.take(mine)).prompts, progress
            ),
        )


class BaselineListRanker:
    """A fitted baseline: candidates by its scores for the history."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset) -> None:
        self.name, self.baseline, self.dataset = name, baseline, dataset

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        """As ListRanker.rank."""
        titles, done = self.dataset.items.title_of[lists.candidates], 0
        scores = np.zeros(titles.shape, dtype=np.float32)
        for batch in self.baseline.title_scores(lists.rows, split):
            part = slice(done, done + len(batch))
            scores[part] = np.take_along_axis(batch, titles[part].astype(np.int64), axis=1)
            done += len(batch)
            progress(len(batch))
        return order_by_scores(scores, lists, self.dataset)

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        """Nothing: it writes no rankings."""
        return {}


def rank_shown(lists: Lists, order: np.ndarray, rank: Callable[[Lists], np.ndarray]) -> np.ndarray:
    """The ranking of lists whose candidates are shown in another order, as places in the order of `lists`.

    order: int [lists, m]; rank: gives the places of lists as they are shown.
    """
    return np.take_along_axis(order, rank(lists.shown(order)), axis=1)


def open_list_ranker(config: DictConfig, dataset: Dataset, cell: Cell, device: str) -> ListRanker:
    """The re-ranker of a trained cell, on a device; config: the cell's, decoding as it should be used.

    Raises InputError when catalogue or tokenizer are not those that the cell was trained with.
    """
    if is_baseline(config):
        return BaselineListRanker(config.baseline.name, open_fitted(config, dataset, cell), dataset)
    backbone = trained_backbone(config, dataset, Path(config.paths.cache), cell.folder)
    for name, now in identity(backbone, dataset).items():
        check_identity(cell, name, now)
    return ModelListRanker(backbone, RerankData(dataset, backbone, config), config.decoding)
