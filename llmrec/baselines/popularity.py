"""The popularity baseline: everybody is recommended what was most often a target in training."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting, RowsSetting, fitted_rows, rows_report
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError


class Popularity(Baseline):
    """Recommends the titles that are most often a target of the rows it is fitted to: "full" or "sample".

    Validation is ranked by `count`, test by `final_count`; they differ where validation was held out of the train file.
    """

    def __init__(self, rows: RowsSetting = "full") -> None:
        if rows not in ("full", "sample"):
            raise ValueError(f"baseline.rows={rows}: choose one of full, sample")
        self.rows = rows

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Counts targets; nothing is chosen."""
        self.items = dataset.items
        self.count = target_counts(fitted_rows(dataset, self.rows, "valid"), dataset.items)
        self.final_count = target_counts(fitted_rows(dataset, self.rows, "test"), dataset.items)
        return rows_report(dataset, self.rows)

    def save(self, folder: Path) -> None:
        """Writes the counts of all distinct titles, those for test to a file of their own."""
        for name, count in (("counts.json", self.count), ("final_counts.json", self.final_count)):
            (folder / name).write_text(json.dumps(count.tolist()), encoding="utf-8")

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Takes up the counts. Raises InputError for a file that is missing or damaged."""
        self.items = dataset.items
        self.count = _read_counts(folder / "counts.json")
        # Earlier versions ranked test by the same counts as validation.
        final = folder / "final_counts.json"
        self.final_count = _read_counts(final) if final.is_file() else self.count

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As Baseline.rank; a title's score is its count."""
        count = self._count(split)
        titles = _rank_by_count(rows, count, self.items, k, exclude_history)
        progress(len(rows))
        return titles, np.where(titles >= 0, count[titles], -np.inf).astype(np.float32)

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        """As Baseline.title_scores; a title's score is its count."""
        yield np.broadcast_to(self._count(split).astype(np.float32), (len(rows), len(self.count)))

    def _count(self, split: str) -> np.ndarray:
        return self.final_count if split == "test" else self.count


def target_counts(train: Rows, items: Items) -> np.ndarray:
    """How many rows have a title as their target: int64 [distinct titles]; items of equal title are summed."""
    return np.bincount(items.title_of[train.target], minlength=len(items.distinct_titles))


def recommend_popular(rows: Rows, train: Rows, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    """The k most popular titles for each row: int32 [rows, k], distinct-title indices best first, -1 = no more.

    With exclude_history, titles of the row's own history are left out and the next popular ones move up.
    """
    return _rank_by_count(rows, target_counts(train, items), items, k, exclude_history)


def _rank_by_count(rows: Rows, count: np.ndarray, items: Items, k: int, exclude_history: bool) -> np.ndarray:
    longest_history = int(np.diff(rows.offsets).max(initial=0)) if exclude_history else 0
    # Ties go to the title that comes first in the catalogue.
    popular = np.argsort(-count, kind="stable")[: k + longest_history].astype(np.int32)
    left_out = np.zeros((len(rows), len(popular)), dtype=bool)
    if exclude_history:
        place = np.full(len(items.distinct_titles), -1)
        place[popular] = np.arange(len(popular))
        column = place[items.title_of[rows.history]]
        left_out[rows.history_row[column >= 0], column[column >= 0]] = True
    # A stable sort of the marks keeps the order of popularity and moves what is left out behind it.
    order = np.argsort(left_out, axis=1, kind="stable")[:, :k]
    chosen = np.where(np.take_along_axis(left_out, order, axis=1), -1, popular[order])
    recommended = np.full((len(rows), k), -1, dtype=np.int32)
    recommended[:, : chosen.shape[1]] = chosen
    return recommended


def _read_counts(path: Path) -> np.ndarray:
    try:
        return np.array(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}. Fit it again, by running the cell anew") from error
