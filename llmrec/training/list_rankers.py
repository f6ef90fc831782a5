"""Rankers of candidate lists: a tuned language model that generates a ranking, or a baseline that scores candidates."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.decoding.open_backbone import trained_backbone
from llmrec.decoding.rank_lists import free_rankings, rank_lists
from llmrec.evaluation.graded import borda
from llmrec.evaluation.list_record import accuracies, order_by_scores
from llmrec.examples.rerank import RerankData
from llmrec.training.rankers import Progress, check_identity, open_fitted
from llmrec.training.run_folder import RunFolder, is_baseline
from llmrec.training.train import identity


class ListRanker(Protocol):
    """Ranks the candidates of lists.

    Attributes:
        name: Name in tables.
    """

    name: str

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        """Ranks the candidates of each list.

        Args:
            lists: The lists, with m candidates each.
            split: Name of their split, valid or test.
            progress: Called with numbers of finished lists.

        Returns:
            Positions of the candidates in the order in which `lists` show them, best first, int64 `[lists, m]`.
        """
        ...

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        """Returns metrics of generation without constraints; {} for a ranker that generates no text.

        Args:
            lists: The lists.
            seed: Seed of the order in which candidates that the text does not rank are appended.
            progress: Called with numbers of finished lists.
        """
        ...


class ModelListRanker:
    """A tuned backbone, decoded to permutations of the candidates.

    Attributes:
        bootstrap: Number of random orders of the candidates whose rankings are combined; 1 = the order as shown.
        calls: Number of `rank` calls by split.
    """

    name = "model"

    def __init__(self, backbone: Backbone, data: RerankData, decoding: DictConfig) -> None:
        self.backbone, self.data, self.bootstrap = backbone, data, int(decoding.bootstrap)
        self.seed, self.calls = int(decoding.seed), Counter[str]()

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        """Ranks each list as shown, or by the Borda count over rankings of `bootstrap` random orders."""
        if self.bootstrap == 1:
            return self._rank(lists, progress)
        self.calls[split] += 1
        # Seeded by split, so that evaluating validation does not change the orders of test.
        generator = np.random.default_rng([self.seed, *split.encode(), self.calls[split]])
        orders = generator.random((self.bootstrap, *lists.candidates.shape)).argsort(axis=2)
        rankings = [rank_shown(lists, order, lambda shown: self._rank(shown, progress)) for order in orders]
        return borda(np.stack(rankings))

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        """Returns parse_failure_rate, the number of lists and the NDCG of parsed rankings of greedy generation."""
        prompts = self.data.prompts(lists).prompts
        order, failed = free_rankings(self.backbone, self.data.identifiers, prompts, seed, progress)
        return {"parse_failure_rate": float(failed.mean()), "lists": len(lists), **accuracies(order, lists)}

    def _rank(self, lists: Lists, progress: Progress) -> np.ndarray:
        return map_across_ranks(
            len(lists),
            lambda part: rank_lists(
                self.backbone, self.data.trie, self.data.prompts(lists.take(part)).prompts, progress
            ),
        )


class BaselineListRanker:
    """A fitted baseline, which ranks candidates by its scores for the history."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset) -> None:
        self.name, self.baseline, self.dataset = name, baseline, dataset

    def rank(self, lists: Lists, split: str, progress: Progress) -> np.ndarray:
        titles, done = self.dataset.items.title_of[lists.candidates], 0
        scores = np.zeros(titles.shape, dtype=np.float32)
        for batch in self.baseline.title_scores(lists.rows, split):
            part = slice(done, done + len(batch))
            scores[part] = np.take_along_axis(batch, titles[part].astype(np.int64), axis=1)
            done += len(batch)
            progress(len(batch))
        return order_by_scores(scores, lists, self.dataset)

    def unconstrained(self, lists: Lists, seed: int, progress: Progress) -> dict[str, Any]:
        return {}


def rank_shown(lists: Lists, order: np.ndarray, rank: Callable[[Lists], np.ndarray]) -> np.ndarray:
    """Ranks lists whose candidates are shown in another order.

    Args:
        lists: The lists, with m candidates each.
        order: Positions of the candidates in the order to show, int `[lists, m]`.
        rank: Ranks lists; returns positions in the order shown, int64 `[lists, m]`.

    Returns:
        Positions in the original order of `lists`, best first, int `[lists, m]`.
    """
    return np.take_along_axis(order, rank(lists.shown(order)), axis=1)


def open_list_ranker(config: DictConfig, dataset: Dataset, run: RunFolder, device: str) -> ListRanker:
    """Opens the list ranker of a trained run.

    Args:
        config: The run's config, with the decoding settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        device: Device of the model, such as `cuda`.

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    if is_baseline(config):
        return BaselineListRanker(config.baseline.name, open_fitted(config, dataset, run), dataset)
    backbone = trained_backbone(config, dataset, Path(config.paths.cache), run.folder)
    for name, now in identity(backbone, dataset).items():
        check_identity(run, name, now)
    return ModelListRanker(backbone, RerankData(dataset, backbone, config), config.decoding)
