"""The popularity baseline: recommends the titles that are most often a target in training, the same for all users."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting, rows_report
from llmrec.baselines.fitted_file import reading
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import RowsSetting, fitted_rows
from llmrec.datasets.popularity import rank_by_count, target_counts


class Popularity(Baseline):
    """Recommends the titles that are most often a target in the rows it is fitted to.

    A title's score is its count. Validation is ranked by `count` and test by `final_count`, both int64
    [distinct titles]. They differ if the validation rows were held out of the train file.

    Args:
        rows: "full" for all training rows, "sample" for those that language models are tuned on.
    """

    def __init__(self, rows: RowsSetting = "full") -> None:
        self.rows = rows

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        self.items = dataset.items
        self.count = target_counts(fitted_rows(dataset, self.rows, "valid"), dataset.items)
        self.final_count = target_counts(fitted_rows(dataset, self.rows, "test"), dataset.items)
        return rows_report(dataset, self.rows)

    def save(self, folder: Path) -> None:
        """Writes the counts of all distinct titles: counts.json for validation, final_counts.json for test."""
        for name, count in (("counts.json", self.count), ("final_counts.json", self.final_count)):
            (folder / name).write_text(json.dumps(count.tolist()), encoding="utf-8")

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Reads the counts.

        Raises:
            InputError: If a file is missing or damaged.
        """
        self.items = dataset.items
        self.count = _read_counts(folder / "counts.json")
        # Earlier versions ranked test by the same counts as validation and wrote one file.
        final_path = folder / "final_counts.json"
        self.final_count = _read_counts(final_path) if final_path.is_file() else self.count

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        count = self._count(split)
        titles = rank_by_count(rows, count, self.items, k, exclude_history)
        progress(len(rows))
        return titles, np.where(titles >= 0, count[titles], -np.inf).astype(np.float32)

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        yield np.broadcast_to(self._count(split).astype(np.float32), (len(rows), len(self.count)))

    def _count(self, split: str) -> np.ndarray:
        return self.final_count if split == "test" else self.count


def _read_counts(path: Path) -> np.ndarray:
    with reading(path):
        return np.array(json.loads(path.read_text(encoding="utf-8")))
