"""Samples titles that are semantically similar to the history, to reduce semantic hallucination.

Source: RosePO, arXiv 2410.12519.
"""

from typing import Literal

import numpy as np
import torch

from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import (
    Rejected,
    excluded_titles,
    fill_at_titles,
    first_equal_titles,
    require_candidates,
    row_slices,
)
from llmrec.settings.types import PositiveInt, Text


class Semantic(Rejected):
    """Samples uniformly from the nearest titles in embedding space.

    Source: two strategies for harmlessness are from the abstract, the name of this one (semantic-similar) from a
    secondary source; all else is our reading.

    Args:
        nearest: Number of nearest titles to sample from.
        to: "history": similarity is the largest cosine to any title of the history; "chosen": the cosine to the target.
        embeddings: The model that embeds titles: "reference" for the dataset's reference model, or a sentence encoder.
    """

    def __init__(
        self,
        nearest: PositiveInt = 50,
        to: Literal["history", "chosen"] = "history",
        embeddings: Text = "reference",
    ) -> None:
        self.nearest, self.to, self.embeddings = nearest, to, embeddings

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        data = preparation.catalogue
        excluded = excluded_titles(data, rows)
        anchors = excluded[:, 1:] if self.to == "history" else excluded[:, :1]
        # The excluded titles may be among the nearest ones, so that many more neighbors are needed.
        wanted = min(self.nearest + excluded.shape[1], len(data.titles))
        embeddings = preparation.embed_titles(self.embeddings)
        neighbors = _Neighbors(embeddings, np.unique(anchors[anchors >= 0]), first_equal_titles(data), wanted)
        generator = np.random.default_rng([preparation.seed, 2])
        sampled = np.zeros((len(rows), count), dtype=np.int64)
        for chunk in row_slices(rows):
            similarity = neighbors.similarity(anchors[chunk])
            fill_at_titles(similarity, excluded[chunk], -np.inf)
            sampled[chunk], is_missing = self._draw(similarity, count, generator)
            reason = "too few of the nearest titles are neither its target nor in its history"
            require_candidates(data, rows[chunk], is_missing, count, reason)
        return sampled

    def _draw(
        self, similarity: np.ndarray, count: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        wanted = min(self.nearest, similarity.shape[1])
        values, near = (found.numpy() for found in torch.from_numpy(similarity).topk(wanted, dim=1))
        random_keys = np.where(np.isfinite(values), generator.random(near.shape), np.inf)
        order = random_keys.argsort(axis=1)[:, :count]
        is_missing = np.isfinite(random_keys).sum(axis=1) < count
        padded = np.zeros((len(near), count), dtype=np.int64)
        padded[:, : order.shape[1]] = np.take_along_axis(near, order, 1)
        return padded, is_missing


class _Neighbors:
    """The nearest neighbors of some titles, by cosine.

    Args:
        embeddings: Of all distinct titles, float32 [distinct titles, size], of unit length.
        titles: The titles whose neighbors are needed, int64 [n], ascending.
        first_equal: See `first_equal_titles`. Titles that are not the first of their equals are no neighbors.
        count: Number of neighbors per title.
    """

    def __init__(self, embeddings: np.ndarray, titles: np.ndarray, first_equal: np.ndarray, count: int) -> None:
        self.catalogue = len(embeddings)
        self.index = np.searchsorted(titles, np.arange(self.catalogue + 1))
        self.cosine = np.zeros((len(titles), count), dtype=np.float32)
        self.title = np.zeros((len(titles), count), dtype=np.int64)
        duplicates = np.flatnonzero(first_equal != np.arange(len(first_equal)))
        vectors = torch.from_numpy(embeddings)
        for chunk in row_slices(titles):
            cosines = vectors[torch.from_numpy(titles[chunk])] @ vectors.T
            cosines[:, torch.from_numpy(duplicates)] = -torch.inf
            values, near = cosines.topk(count, dim=1)
            self.cosine[chunk], self.title[chunk] = values.numpy(), near.numpy()

    def similarity(self, titles: np.ndarray) -> np.ndarray:
        """Computes each row's similarity to all titles of the catalogue.

        Args:
            titles: The titles of each row, int [rows, n]; -1 is padding.

        Returns:
            float32 [rows, distinct titles]: the largest cosine of each title to those of the row's titles that have it
            among their neighbors; -inf if none has.
        """
        similarity = np.full((len(titles), self.catalogue), -np.inf, dtype=np.float32)
        for column in titles.T:
            row = np.flatnonzero(column >= 0)[:, None]
            index = self.index[column[row[:, 0]]]
            near = self.title[index]
            similarity[row, near] = np.maximum(similarity[row, near], self.cosine[index])
        return similarity
