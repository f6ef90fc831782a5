"""Semantic hallucination: wrong top-1 titles that are unusually similar to the user's history."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows

PERCENTILE = 95
RANDOM_PAIRS = 20_000
"""Minimum number of random pairs from which the percentile is estimated."""
SEED = 0
CHUNK_ROWS = 256
"""Histories compared at a time, which limits the memory for the embeddings of their titles."""


@dataclass(frozen=True)
class Top1Titles:
    """The wrong top-1 titles of lists.

    Attributes:
        wrong: Whether the top-1 title of each row is wrong, bool [rows].
        similarity: Similarity of each wrong top-1 title to the row's history, float64 [wrong rows].
        repeated: Whether each wrong top-1 title is in the row's history, bool [wrong rows].
        threshold: A wrong top-1 title whose similarity is above it is a semantic hallucination.
    """

    wrong: np.ndarray
    similarity: np.ndarray
    repeated: np.ndarray
    threshold: float

    @property
    def hallucinated(self) -> np.ndarray:
        """Whether the top-1 title of each row is a semantic hallucination, bool [rows]."""
        hallucinated = np.zeros(len(self.wrong), dtype=bool)
        hallucinated[self.wrong] = self.similarity > self.threshold
        return hallucinated

    def metrics(self) -> dict[str, Any]:
        """Returns metrics over the wrong top-1 titles; {} if none is wrong.

        wrong_top1: their number; semantic_share: the share that are semantic hallucinations; threshold;
        mean_similarity: their mean similarity; repeated: the share in the row's history.
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


def judge_top1_titles(
    recommended: np.ndarray, target_title: np.ndarray, rows: Rows, items: Items, embeddings: np.ndarray
) -> Top1Titles:
    """Finds wrong top-1 titles that are more similar to the user's history than random titles usually are.

    The threshold is the 95th percentile of the similarity (see `similarity_to_history`) between all evaluated histories
    and titles outside them, drawn uniformly with a fixed seed. Lists of random titles therefore have a semantic_share
    of 0.05. Source: our reading.

    Args:
        recommended: Distinct titles, best first, int32 [users, K]; -1 = no more.
        target_title: The correct titles, int [users].
        rows: The rows that the lists are for. Rows without a history are not considered.
        items: The catalogue.
        embeddings: float32 [distinct titles, size], of unit length.
    """
    has_history = np.diff(rows.offsets) > 0
    wrong = has_history & (recommended[:, 0] >= 0) & (recommended[:, 0] != target_title)
    if not wrong.any():
        return Top1Titles(wrong, np.zeros(0), np.zeros(0, dtype=bool), math.nan)
    top1, wrong_rows = recommended[wrong, 0], rows.take(wrong)
    return Top1Titles(
        wrong,
        similarity_to_history(top1, wrong_rows, items, embeddings),
        _in_history(top1, wrong_rows, items),
        _random_threshold(rows.take(has_history), items, embeddings),
    )


def similarity_to_history(titles: np.ndarray, rows: Rows, items: Items, embeddings: np.ndarray) -> np.ndarray:
    """Computes the largest cosine of each row's title to any title of the row's history.

    Args:
        titles: Distinct titles, int [rows].
        rows: Rows with non-empty histories.
        items: The catalogue.
        embeddings: As in `judge_top1_titles`.

    Returns:
        float64 [rows].
    """
    similarity = np.zeros(len(rows))
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        part = rows.take(np.arange(len(rows))[chunk])
        history, title = items.title_of[part.history], titles[chunk][part.history_row]
        cosines = np.einsum("ed,ed->e", embeddings[history], embeddings[title])
        similarity[chunk] = np.maximum.reduceat(cosines, part.offsets[:-1])
    # The cosine of a title to itself is 1 up to rounding errors, which must not exceed a threshold of 1.
    return similarity.round(6)


def _random_threshold(rows: Rows, items: Items, embeddings: np.ndarray) -> float:
    pairs = np.repeat(np.arange(len(rows)), math.ceil(RANDOM_PAIRS / len(rows)))
    titles = np.random.default_rng(SEED).integers(len(items.distinct_titles), size=len(pairs))
    # Titles of the history have the largest possible similarity. In a small catalogue they alone would determine the
    # percentile, so they are excluded.
    is_outside = ~_in_history(titles, rows.take(pairs), items)
    if not is_outside.any():
        return 1.0
    return float(
        np.percentile(
            similarity_to_history(titles[is_outside], rows.take(pairs[is_outside]), items, embeddings), PERCENTILE
        )
    )


def _in_history(titles: np.ndarray, rows: Rows, items: Items) -> np.ndarray:
    """Returns whether each row's title is in its history, bool [rows]; all histories must be non-empty."""
    return np.logical_or.reduceat(items.title_of[rows.history] == titles[rows.history_row], rows.offsets[:-1])
