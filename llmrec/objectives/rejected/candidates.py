"""Samples rejected titles among the candidates that a row's prompt shows, as S-DPO's code does (arXiv 2406.09215)."""

import numpy as np

from llmrec.datasets.negatives import is_repeated
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import Rejected, excluded_titles, first_equal_titles, require_candidates


class Candidates(Rejected):
    """Samples uniformly, without replacement, from the candidates of the row other than its target (P)."""

    tasks = ("candidates",)

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        data = preparation.catalogue
        titles = first_equal_titles(data)[data.sample.rows.take(rows).candidate_titles(data.dataset.items)]
        excluded = excluded_titles(data, rows)
        is_excluded = (titles[:, :, None] == excluded[:, None, :]).any(axis=2) | is_repeated(titles)
        keys = np.random.default_rng([preparation.seed, 4]).random(titles.shape)
        keys[is_excluded] = np.inf
        is_missing = (~is_excluded).sum(axis=1) < count
        require_candidates(data, rows, is_missing, count, "its prompt shows too few candidates beside its target")
        return np.take_along_axis(titles, keys.argsort(axis=1)[:, :count], axis=1)
