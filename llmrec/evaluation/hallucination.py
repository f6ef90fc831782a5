"""Semantic hallucination: wrong recommendations that only look like what the user has."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows

PERCENTILE = 95
RANDOM_PAIRS = 20_000
"""At least so many make the percentile."""
SEED = 0
CHUNK = 256
"""Histories compared at a time: bounds the memory that their titles' embeddings take."""


@dataclass(frozen=True)
class FirstTitles:
    """The wrong first titles of lists.

    wrong: bool [rows], whose first title is wrong; of these, in their order, similarity: float64, to the history;
    repeated: bool, whether it stands there. threshold: what a similarity must exceed to be a hallucination.
    """

    wrong: np.ndarray
    similarity: np.ndarray
    repeated: np.ndarray
    threshold: float

    @property
    def hallucinated(self) -> np.ndarray:
        """bool [rows]: whose first title is wrong and only sounds right."""
        found = np.zeros(len(self.wrong), dtype=bool)
        found[self.wrong] = self.similarity > self.threshold
        return found

    def metrics(self) -> dict[str, Any]:
        """wrong_top1: their number; over these, semantic_share: the share that only sounds right; the mean similarity,
        the share repeated, the threshold. {} when no first title is wrong.
        """
        if not self.wrong.any():
            return {}
        return {
            "semantic_share": float((self.similarity > self.threshold).mean()),
            "wrong_top1": int(self.wrong.sum()),
            "threshold": self.threshold,
            "mean_similarity": float(self.similarity.mean()),
            "repeated": float(self.repeated.mean()),
        }


def judge_first_titles(
    recommended: np.ndarray, target_title: np.ndarray, rows: Rows, items: Items, embeddings: np.ndarray
) -> FirstTitles:
    """Which first titles are wrong, and more like the user's history than a random title is likely to be.

    recommended: int32 [users, K], distinct-title indices best first, -1 = no more; target_title: int [users], the right
    titles; rows: those the lists are for, of which those without a history are left out; embeddings: float32 [distinct
    titles, size], of length 1. threshold: the 95th percentile of the similarity (see `similarity_to_history`) of all
    evaluated histories to other titles drawn evenly, always by the same seed, so that lists of random titles have a
    semantic_share of 0.05. Source: our reading.
    """
    has_history = np.diff(rows.offsets) > 0
    wrong = has_history & (recommended[:, 0] >= 0) & (recommended[:, 0] != target_title)
    if not wrong.any():
        return FirstTitles(wrong, np.zeros(0), np.zeros(0, dtype=bool), math.nan)
    first, whose = recommended[wrong, 0], rows.take(wrong)
    return FirstTitles(
        wrong,
        similarity_to_history(first, whose, items, embeddings),
        _in_history(first, whose, items),
        _random_threshold(rows.take(has_history), items, embeddings),
    )


def similarity_to_history(titles: np.ndarray, rows: Rows, items: Items, embeddings: np.ndarray) -> np.ndarray:
    """The largest cosine of each row's title to any title of its history: float64 [rows].

    titles: int [rows], distinct titles; rows: none without a history; embeddings: as in `judge_first_titles`.
    """
    similarity = np.zeros(len(rows))
    for start in range(0, len(rows), CHUNK):
        own = slice(start, start + CHUNK)
        part = rows.take(np.arange(len(rows))[own])
        history, title = items.title_of[part.history], titles[own][part.history_row]
        cosines = np.einsum("ed,ed->e", embeddings[history], embeddings[title])
        similarity[own] = np.maximum.reduceat(cosines, part.offsets[:-1])
    # A title's cosine to itself is 1 but for rounding, which must not decide what exceeds a threshold of 1.
    return similarity.round(6)


def _random_threshold(rows: Rows, items: Items, embeddings: np.ndarray) -> float:
    pairs = np.repeat(np.arange(len(rows)), math.ceil(RANDOM_PAIRS / len(rows)))
    titles = np.random.default_rng(SEED).integers(len(items.distinct_titles), size=len(pairs))
    # A title of the history itself is as like it as can be; where a catalogue is small, such pairs alone would decide.
    other = ~_in_history(titles, rows.take(pairs), items)
    if not other.any():
        return 1.0
    return float(
        np.percentile(similarity_to_history(titles[other], rows.take(pairs[other]), items, embeddings), PERCENTILE)
    )


def _in_history(titles: np.ndarray, rows: Rows, items: Items) -> np.ndarray:
    """Whether each row's title stands in its history: bool [rows]; rows: none without a history."""
    return np.logical_or.reduceat(items.title_of[rows.history] == titles[rows.history_row], rows.offsets[:-1])
