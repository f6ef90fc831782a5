"""A random ranking, drawn anew each time: what chance alone gives, in accuracy and in sensitivity to an order shown."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting
from llmrec.datasets.dataset import Dataset, Rows

ROWS_AT_ONCE = 256
"""Rows whose scores are in memory together."""


class Random(Baseline):
    """Ranks by random numbers; seed: of a stream for each split, which every opened baseline begins anew."""

    def __init__(self, seed: int = 0) -> None:
        self.generators = {split: np.random.default_rng([seed, *split.encode()]) for split in ("valid", "test")}

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Learns nothing."""
        self.items = dataset.items
        return {}

    def save(self, folder: Path) -> None:
        """There is nothing to keep."""

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Takes the catalogue."""
        self.items = dataset.items

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As Baseline.rank."""
        titles = np.full((len(rows), k), -1, dtype=np.int32)
        best = np.full((len(rows), k), -np.inf, dtype=np.float32)
        done = 0
        for scores in self.title_scores(rows, split):
            part = rows.take(np.arange(done, done + len(scores)))
            if exclude_history:
                scores[part.history_row, self.items.title_of[part.history]] = -np.inf
            order = np.argsort(-scores, axis=1)[:, :k]
            found = np.take_along_axis(scores, order, axis=1)
            place = np.s_[done : done + len(part), : order.shape[1]]
            titles[place], best[place] = np.where(found > -np.inf, order, -1), found
            done += len(part)
            progress(len(part))
        return titles, best

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        """As Baseline.title_scores."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = min(ROWS_AT_ONCE, len(rows) - start)
            yield self.generators[split].random((batch, len(self.items.distinct_titles)), dtype=np.float32)
