"""Rankers of a row's candidates: a tuned language model that scores their titles, or a fitted baseline."""

from collections.abc import Mapping

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.decoder import CandidateDecoder
from llmrec.decoding.unconstrained import candidate_texts
from llmrec.evaluation.graded import order_by_scores
from llmrec.examples.candidates import CandidatesData
from llmrec.tasks.base import Progress

Ranked = tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]
"""The candidates' titles, best first, int [rows, m]; their scores, float [rows, m]; no details."""


class ModelCandidateRanker:
    """A tuned language model.

    Attributes:
        backbone: The model.
        data: The catalogue and prompts for its tokenizer.
        decoder: Scores titles.
    """

    name = "model"

    def __init__(self, backbone: Backbone, data: CandidatesData, decoder: CandidateDecoder) -> None:
        self.backbone, self.data, self.decoder = backbone, data, decoder

    def rank(self, rows: Rows, split: str, progress: Progress) -> Ranked:
        """Ranks the candidates of each row by the scores of their titles."""
        data, titles = self.data, rows.candidate_titles(self.data.dataset.items)
        prompts = data.split(rows).prompts

        def score(part: np.ndarray) -> np.ndarray:
            return self.decoder.scores(
                self.backbone, data.trie, data.titles, prompts.take(part), titles[part], progress
            )

        return ranked_candidates(titles, map_across_ranks(len(rows), score))

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row's target, int [rows]."""
        titles: np.ndarray = self.data.dataset.items.title_of[rows.target]
        return titles

    def answers(self, rows: Rows, progress: Progress) -> tuple[list[str | None], np.ndarray]:
        """Generates a text for each row without constraints; see `candidate_texts`."""
        titles = rows.candidate_titles(self.data.dataset.items)
        return candidate_texts(self.backbone, self.data, self.data.split(rows).prompts, titles, progress)


class BaselineCandidateRanker:
    """A fitted baseline, which ranks candidates by its scores for the history."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset, decoder: CandidateDecoder) -> None:
        self.name, self.baseline, self.dataset, self.decoder = name, baseline, dataset, decoder

    def rank(self, rows: Rows, split: str, progress: Progress) -> Ranked:
        """Ranks the candidates of each row by the scores of their titles."""
        titles = rows.candidate_titles(self.dataset.items)
        return ranked_candidates(titles, self.baseline.candidate_scores(rows, split, titles, progress))

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row's target, int [rows]."""
        titles: np.ndarray = self.dataset.items.title_of[rows.target]
        return titles


def ranked_candidates(titles: np.ndarray, scores: np.ndarray) -> Ranked:
    """Orders candidates by their scores; see `order_by_scores` for equal ones."""
    order = order_by_scores(scores, titles)
    return np.take_along_axis(titles, order, axis=1), np.take_along_axis(scores, order, axis=1), {}
