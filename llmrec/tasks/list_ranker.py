"""Rankers of candidate lists: a tuned language model that generates a ranking, or a baseline that scores candidates."""

from collections.abc import Callable

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.decoding.decoder import ListDecoder
from llmrec.decoding.rank_lists import UnconstrainedRankings, unconstrained_rankings
from llmrec.evaluation.graded import borda, order_by_scores
from llmrec.examples.rerank import RerankData
from llmrec.tasks.base import Progress


class ModelListRanker:
    """A tuned language model.

    Attributes:
        backbone: The model.
        data: The identifiers and prompts for its tokenizer.
        decoder: Turns its predictions into permutations of the candidates.
    """

    name = "model"

    def __init__(self, backbone: Backbone, data: RerankData, decoder: ListDecoder) -> None:
        self.backbone, self.data, self.decoder = backbone, data, decoder

    def rank(self, lists: Lists, split: str, number: int, progress: Progress) -> np.ndarray:
        """Ranks each list as shown, or by the Borda count over rankings of `bootstrap` random orders.

        Args:
            lists: The lists, with m candidates each.
            split: Name of their split, valid or test.
            number: Number of the order in which `lists` show the candidates, 1 for the stored one. With the split, it
                seeds the random orders.
            progress: Called with numbers of finished lists.

        Returns:
            Positions of the candidates in the order in which `lists` show them, best first, int64 [lists, m].
        """
        if self.decoder.bootstrap == 1:
            return self._rank(lists, progress)
        generator = np.random.default_rng([self.decoder.seed, *split.encode(), number])
        orders = generator.random((self.decoder.bootstrap, *lists.candidates.shape)).argsort(axis=2)
        rankings = [rank_reordered(lists, order, lambda shown: self._rank(shown, progress)) for order in orders]
        return borda(np.stack(rankings))

    def unconstrained_rankings(self, lists: Lists, seed: int, progress: Progress) -> UnconstrainedRankings:
        """Ranks each list by greedy generation without constraints.

        Args:
            lists: The lists.
            seed: Seed of the order of candidates that a text does not contain.
            progress: Called with numbers of finished lists.
        """
        prompts = self.data.prompts(lists).prompts
        return unconstrained_rankings(self.backbone, self.data.identifiers, prompts, seed, progress)

    def _rank(self, lists: Lists, progress: Progress) -> np.ndarray:
        def rank(part: np.ndarray) -> np.ndarray:
            prompts = self.data.prompts(lists.take(part)).prompts
            return self.decoder.rank(self.backbone, self.data.trie, prompts, progress)

        return map_across_ranks(len(lists), rank)


class BaselineListRanker:
    """A fitted baseline, which ranks candidates by its scores for the history."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset) -> None:
        self.name, self.baseline, self.dataset = name, baseline, dataset

    def rank(self, lists: Lists, split: str, number: int, progress: Progress) -> np.ndarray:
        """Ranks each list; arguments and result as for `ModelListRanker.rank`."""
        titles = self.dataset.items.title_of[lists.candidates]
        return order_by_scores(self.baseline.candidate_scores(lists.rows, split, titles, progress), titles)


def rank_reordered(lists: Lists, order: np.ndarray, rank: Callable[[Lists], np.ndarray]) -> np.ndarray:
    """Ranks lists whose candidates are shown in another order.

    Args:
        lists: The lists, with m candidates each.
        order: Positions of the candidates in the order to show, int [lists, m].
        rank: Ranks lists; returns positions in the order shown, int64 [lists, m].

    Returns:
        Positions in the original order of `lists`, best first, int [lists, m].
    """
    return np.take_along_axis(order, rank(lists.reordered(order)), axis=1)
