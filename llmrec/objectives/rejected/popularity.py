"""Samples popular titles as rejected ones, to reduce popularity bias (RosePO, arXiv 2410.12519)."""

import numpy as np

from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import (
    Rejected,
    excluded_titles,
    fill_at_titles,
    first_equal_titles,
    require_candidates,
    row_slices,
)
from llmrec.settings.types import NonNegativeFloat


class Popularity(Rejected):
    """Samples titles with P(title) proportional to (number of users in train) ** alpha.

    Source: two strategies for harmlessness are from the abstract, the name of this one (popularity-aware) from a
    secondary source; the formula is our reading.

    Args:
        alpha: Exponent, at least 0. 0 samples uniformly; above 0, titles that no user has in train are never sampled.
    """

    def __init__(self, alpha: NonNegativeFloat = 1.0) -> None:
        self.alpha = alpha

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        data = preparation.catalogue
        excluded, weights = excluded_titles(data, rows), self._weights(preparation)
        generator = np.random.default_rng([preparation.seed, 1])
        sampled = np.zeros((len(rows), count), dtype=np.int64)
        for chunk in row_slices(rows):
            # Weighted sampling without replacement: the titles with the smallest Exp(weight) variables.
            keys = generator.standard_exponential((len(rows[chunk]), len(weights)), dtype=np.float32)
            keys = np.divide(keys, weights, out=np.full_like(keys, np.inf), where=weights > 0)
            fill_at_titles(keys, excluded[chunk], np.inf)
            sampled[chunk], is_missing = _smallest(keys, count)
            require_candidates(data, rows[chunk], is_missing, count, "its target and history cover the candidates")
        return sampled

    def _weights(self, preparation: Preparation) -> np.ndarray:
        """Returns the weight of each distinct title, float32.

        Of titles with equal tokens, the first has the users of all, and the others have weight 0.
        """
        data = preparation.catalogue
        first_equal = first_equal_titles(data)
        users = np.bincount(first_equal, weights=data.dataset.title_popularity, minlength=len(first_equal))
        return np.where(first_equal == np.arange(len(first_equal)), users**self.alpha, 0).astype(np.float32)


def _smallest(keys: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of each row's `count` smallest keys, ascending, and whether fewer than that are finite."""
    if count >= keys.shape[1]:
        order = np.argsort(keys, axis=1)
    else:
        order = np.argpartition(keys, count, axis=1)[:, :count]
        order = np.take_along_axis(order, np.take_along_axis(keys, order, 1).argsort(1), 1)
    is_missing = ~np.isfinite(np.take_along_axis(keys, order, 1)[:, -1]) | (order.shape[1] < count)
    padded = np.zeros((len(keys), count), dtype=np.int64)
    padded[:, : order.shape[1]] = order[:, :count]
    return padded, is_missing
