"""The interface of baselines: they are fitted to rows of a dataset and rank its titles for histories."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import RowsSetting, fitted_rows, is_refitted


@dataclass(frozen=True)
class Fitting:
    """Where and how a baseline is fitted.

    Attributes:
        seed: The run's seed.
        device: Name of the torch device.
        checkpoint: File that the baseline may write while it is fitted, to resume an interrupted fit.
        log: Logs named values for a step.
        progress: Whether to show a progress bar.
    """

    seed: int
    device: str
    checkpoint: Path
    log: Callable[[dict[str, float], int], None]
    progress: bool


class Baseline(ABC):
    """A recommender without a language model, chosen by `_target_`; its hyper-parameters are constructor arguments."""

    @abstractmethod
    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Fits the baseline to training rows; all choices are made on validation.

        Returns:
            Facts about the fit for training.json.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the fitted state to an existing folder."""

    @abstractmethod
    def load(self, folder: Path, dataset: Dataset) -> None:
        """Reads the state that `save` wrote."""

    @abstractmethod
    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ranks the full catalogue for each row.

        Args:
            rows: The rows to rank for.
            split: The split of the rows, "valid" or "test". A baseline that is refitted with the validation rows must
                not use that fit to rank them.
            k: Number of titles for each row.
            exclude_history: Whether to exclude titles of the row's history.
            progress: Called with the number of rows of each finished batch.

        Returns:
            Distinct titles, best first, -1 where there are no more, int32 [rows, k], and their scores, float32
            [rows, k].
        """

    @abstractmethod
    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        """Scores all titles for successive rows; candidate lists are ranked by these scores.

        Args:
            rows: The rows to score for.
            split: The split of the rows (see `rank`).

        Yields:
            Scores, higher is better, float32 [batch, distinct titles].
        """

    def candidate_scores(
        self, rows: Rows, split: str, titles: np.ndarray, progress: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """Scores some titles for each row.

        Args:
            rows: The rows to score for.
            split: The split of the rows (see `rank`).
            titles: Distinct titles, int [rows, m].
            progress: Called with the number of rows of each finished batch.

        Returns:
            float32 [rows, m].
        """
        scores, done = np.zeros(titles.shape, dtype=np.float32), 0
        for batch in self.title_scores(rows, split):
            part = slice(done, done + len(batch))
            scores[part] = np.take_along_axis(batch, titles[part].astype(np.int64), axis=1)
            done += len(batch)
            progress(len(batch))
        return scores


def rows_report(dataset: Dataset, rows: RowsSetting) -> dict[str, Any]:
    """Describes which rows a baseline was fitted to.

    Returns:
        For the record: the setting `rows`; the number of rows fitted for validation (fitted_rows); whether the baseline
        was refitted with the validation rows for test (refitted); the train file, and whether it is only a sample.
    """
    return {
        "rows": rows,
        "fitted_rows": len(fitted_rows(dataset, rows, "valid")),
        "refitted": is_refitted(dataset, rows),
        "train_file": dataset.train_file,
        "train_file_is_only_a_sample": dataset.only_a_sample,
    }
