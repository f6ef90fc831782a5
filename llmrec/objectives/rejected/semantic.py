"""Rejects titles that only sound like the history, against semantic hallucination (RosePO, arXiv 2410.12519)."""

from typing import Literal

import numpy as np
import torch

from llmrec.objectives.base import Preparation, one_of
from llmrec.objectives.rejected.base import Rejected, canonical, chunks, forbidden, mark, refuse_missing


class Semantic(Rejected):
    """Draws evenly from the titles that are nearest to the history, or to the chosen title, in embedding space.

    nearest: how many titles it draws from; to: "history", by the largest cosine to any of its titles, or "chosen", by
    the cosine to the target; embeddings: the model that embeds titles, "reference" for the dataset's reference model,
    or a sentence encoder. Source: semantic-similar rejection (abstract); all else is our reading.
    """

    def __init__(
        self,
        nearest: int = 50,
        to: Literal["history", "chosen"] = "history",
        embeddings: str = "reference",
    ) -> None:
        if nearest < 1:
            raise ValueError(f"objective.rejected.nearest={nearest}: give a whole number of at least 1")
        self.nearest, self.to = nearest, one_of("rejected.to", to, "history", "chosen")
        self.embeddings = embeddings

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """As Rejected.sample."""
        data = preparation.data
        left_out = forbidden(data, rows)
        near_to = left_out[:, 1:] if self.to == "history" else left_out[:, :1]
        # A title that is left out may take a place among the nearest of every other.
        wanted = min(self.nearest + left_out.shape[1], len(data.titles))
        embeddings = preparation.embed_titles(self.embeddings)
        neighbours = _Neighbours(embeddings, np.unique(near_to[near_to >= 0]), canonical(data), wanted)
        generator = np.random.default_rng([preparation.seed, 2])
        found = np.zeros((len(rows), count), dtype=np.int64)
        for part in chunks(rows):
            similarity = neighbours.similarity(near_to[part])
            mark(similarity, left_out[part], -np.inf)
            found[part], missing = self._draw(similarity, count, generator)
            refuse_missing(data, rows[part], missing, count, "too few titles are near that it does not have already")
        return found

    def _draw(
        self, similarity: np.ndarray, count: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        wanted = min(self.nearest, similarity.shape[1])
        values, near = (part.numpy() for part in torch.from_numpy(similarity).topk(wanted, dim=1))
        lots = np.where(np.isfinite(values), generator.random(near.shape), np.inf)
        order = lots.argsort(axis=1)[:, :count]
        missing = np.isfinite(lots).sum(axis=1) < count
        padded = np.zeros((len(near), count), dtype=np.int64)
        padded[:, : order.shape[1]] = np.take_along_axis(near, order, 1)
        return padded, missing


class _Neighbours:
    """The titles nearest to each of some titles, by cosine.

    titles: int64 [n], ascending, whose neighbours are asked for; stands_for: as `canonical` gives it; count: how many.
    """

    def __init__(self, embeddings: np.ndarray, titles: np.ndarray, stands_for: np.ndarray, count: int) -> None:
        self.catalogue = len(embeddings)
        self.place = np.searchsorted(titles, np.arange(self.catalogue + 1))
        self.cosine = np.zeros((len(titles), count), dtype=np.float32)
        self.title = np.zeros((len(titles), count), dtype=np.int64)
        doubles = np.flatnonzero(stands_for != np.arange(len(stands_for)))
        vectors = torch.from_numpy(embeddings)
        for part in chunks(titles):
            cosines = vectors[torch.from_numpy(titles[part])] @ vectors.T
            cosines[:, torch.from_numpy(doubles)] = -torch.inf
            values, near = cosines.topk(count, dim=1)
            self.cosine[part], self.title[part] = values.numpy(), near.numpy()

    def similarity(self, titles: np.ndarray) -> np.ndarray:
        """float32 [rows, catalogue]: the largest cosine to any of a row's titles (int [rows, n], -1: none) of those
        that are among its neighbours; -inf elsewhere."""
        similarity = np.full((len(titles), self.catalogue), -np.inf, dtype=np.float32)
        for column in titles.T:
            row = np.flatnonzero(column >= 0)[:, None]
            place = self.place[column[row[:, 0]]]
            near = self.title[place]
            similarity[row, near] = np.maximum(similarity[row, near], self.cosine[place])
        return similarity
