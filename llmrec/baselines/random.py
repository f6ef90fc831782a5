"""The random baseline: chance level of accuracy and of sensitivity to the order of candidates.

Each ranking is drawn anew.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting
from llmrec.baselines.ranking import rank_by_scores
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.settings.types import Seed

SCORING_BATCH_ROWS = 256
"""Rows scored at a time, which bounds the memory for scores."""


class Random(Baseline):
    """Ranks by random numbers.

    Args:
        seed: Seed of the random numbers, of which each split has its own stream. Opening the baseline restarts the
            streams.
    """

    def __init__(self, seed: Seed = 0) -> None:
        self.generators = {split: np.random.default_rng([seed, *split.encode()]) for split in ("valid", "test")}

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        self.items = dataset.items
        return {}

    def save(self, folder: Path) -> None:
        """Writes nothing, because there is no fitted state."""

    def load(self, folder: Path, dataset: Dataset) -> None:
        self.items = dataset.items

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        return rank_by_scores(self.title_scores(rows, split), rows, self.items, k, exclude_history, progress)

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), SCORING_BATCH_ROWS):
            batch_rows = min(SCORING_BATCH_ROWS, len(rows) - start)
            yield self.generators[split].random((batch_rows, len(self.items.distinct_titles)), dtype=np.float32)
