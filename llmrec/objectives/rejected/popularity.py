"""Rejects popular titles, so that the model unlearns to recommend what everybody has (RosePO, arXiv 2410.12519)."""

import numpy as np

from llmrec.datasets.popularity import title_popularity
from llmrec.objectives.base import Preparation
from llmrec.objectives.rejected.base import Rejected, canonical, chunks, forbidden, mark, refuse_missing


class Popularity(Rejected):
    """P(title) proportional to its number of users in train to the power of alpha; alpha 0 is uniform.

    Source: popularity-aware rejection against popularity bias (abstract); the formula is our reading.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if not alpha >= 0:
            raise ValueError(f"objective.rejected.alpha={alpha}: give a number of at least 0 (0 is uniform)")
        self.alpha = alpha

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """As Rejected.sample; a title that no user has in train is only drawn with alpha 0."""
        data = preparation.data
        left_out, weights = forbidden(data, rows), self._weights(preparation)
        generator = np.random.default_rng([preparation.seed, 1])
        found = np.zeros((len(rows), count), dtype=np.int64)
        for part in chunks(rows):
            # A race of exponential clocks: the first to ring are a draw by weight without replacement.
            clocks = generator.standard_exponential((len(rows[part]), len(weights)), dtype=np.float32)
            clocks = np.divide(clocks, weights, out=np.full_like(clocks, np.inf), where=weights > 0)
            mark(clocks, left_out[part], np.inf)
            found[part], missing = _first(clocks, count)
            refuse_missing(data, rows[part], missing, count, "its history and target cover the titles to draw from")
        return found

    def _weights(self, preparation: Preparation) -> np.ndarray:
        data = preparation.data
        stands_for = canonical(data)
        users = title_popularity(data.dataset.train, data.dataset.items)
        users = np.bincount(stands_for, weights=users, minlength=len(stands_for))
        return np.where(stands_for == np.arange(len(stands_for)), users**self.alpha, 0).astype(np.float32)


def _first(clocks: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` smallest of each row, in order: int64 [rows, count]; bool [rows], where there are fewer."""
    if count >= clocks.shape[1]:
        order = np.argsort(clocks, axis=1)
    else:
        order = np.argpartition(clocks, count, axis=1)[:, :count]
        order = np.take_along_axis(order, np.take_along_axis(clocks, order, 1).argsort(1), 1)
    missing = ~np.isfinite(np.take_along_axis(clocks, order, 1)[:, -1]) | (order.shape[1] < count)
    padded = np.zeros((len(clocks), count), dtype=np.int64)
    padded[:, : order.shape[1]] = order[:, :count]
    return padded, missing
