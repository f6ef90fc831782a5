"""What a baseline is: it is fitted to the rows of a dataset and ranks the catalogue for histories, without any text."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import RowsSetting, fitted_rows, refits


@dataclass(frozen=True)
class Fitting:
    """Where and how a baseline is fitted.

    checkpoint: a file that the baseline may write while it is fitted, and from which an interrupted fit goes on;
    log: takes named values and the step they belong to; progress: whether a bar is shown.
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
        """Fits the training rows, with all choices made on validation; returns what training.json should say."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what was fitted into an existing folder."""

    @abstractmethod
    def load(self, folder: Path, dataset: Dataset) -> None:
        """Takes up what `save` wrote."""

    @abstractmethod
    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best titles of each row: distinct titles int32 [rows, k], best first, -1 = no more; scores float32.

        split: whose rows they are, "valid" or "test": a baseline that is refitted with the validation rows must not
        rank them with what it learnt from them. progress is told the rows of each finished batch.
        """

    @abstractmethod
    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        """Scores of every title for successive rows, higher = better: float32 [batch, distinct titles] each.

        What candidate lists are ranked by. split: as in `rank`.
        """


def rows_report(dataset: Dataset, rows: RowsSetting) -> dict[str, Any]:
    """For the record: which rows a baseline was fitted to, and whether the train file is itself only a sample.

    fitted_rows: their number for validation; refitted: whether test is ranked by a fit to validation's rows too.
    """
    return {
        "rows": rows,
        "fitted_rows": len(fitted_rows(dataset, rows, "valid")),
        "refitted": refits(dataset, rows),
        "train_file": dataset.train_file,
        "train_file_is_only_a_sample": dataset.only_a_sample,
    }
