"""The ItemKNN baseline: item-based nearest neighbours by the cosine similarity of titles over training users.

Sources: Deshpande and Karypis, ACM TOIS 22(1), 2004, for the neighbours and the score; Ferrari Dacrema et al., RecSys
2019, arXiv 1907.06902, for the shrinkage.

Our reading:
    - Items that share a title are one item, because titles are ranked.
    - A user has a title if it is a target or in a history of one of the user's rows. A user counts once for each title
      and each pair of titles, in however many overlapping rows they occur. SASRec, in contrast, trains on each row.
      Where a dataset has no users, each row counts as a user.
    - A title that occurs several times in a history counts once, because the data is binary.
    - Neighbours are those of the history's titles, as in Deshpande and Karypis; the code of Ferrari Dacrema et al.
      keeps the neighbours of the recommended items.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from llmrec.baselines.base import Baseline, Fitting, rows_report
from llmrec.baselines.fitted_file import reading
from llmrec.baselines.ranking import rank_by_scores
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import RowsSetting, fitted_rows, is_refitted
from llmrec.errors import InputError
from llmrec.settings.types import NonNegativeFloat, PositiveInt

SCORING_BATCH_ROWS = 256
"""Rows scored at a time, which bounds the memory for scores."""


@dataclass(frozen=True)
class Neighbours:
    """The most similar titles of each title, most similar first.

    Attributes:
        titles: The neighbours of each title, int32.
        similarities: Their similarities, float32.
    """

    titles: list[np.ndarray]
    similarities: list[np.ndarray]

    def scores(self, rows: Rows, items: Items) -> np.ndarray:
        """Scores all titles for each row, float32 [rows, distinct titles].

        A title's score is the sum of its similarities to the titles of the history that it is a neighbour of.
        """
        titles = len(items.distinct_titles)
        scores = np.zeros((len(rows), titles))
        # Summed in float64, which hardly rounds sums of float32 numbers: equal sums tie in any order of their terms.
        for pair in np.unique(rows.history_row * titles + items.title_of[rows.history]):
            row, known = divmod(int(pair), titles)
            scores[row, self.titles[known]] += self.similarities[known]
        return scores.astype(np.float32)


class ItemKNN(Baseline):
    """Recommends the titles that are most similar to those of the history.

    The similarity of two titles i and j is |U_i and U_j| / (sqrt(|U_i|) sqrt(|U_j|) + shrink), where U_i are the users
    who have title i in the rows that the baseline is fitted to. A title's score is the sum of its similarities to the
    titles of the history that it is a neighbour of. Ties, of neighbours and of scores, go to the title that comes first
    in the catalogue, as in the popularity baseline.

    Validation is ranked by `selected` and test by `final`, which differ if the validation rows were held out of the
    train file.

    Args:
        rows: "full" for all training rows, "sample" for those that language models are tuned on.
        neighbours: Number of most similar titles that are kept for each title.
        shrink: Added to the denominator, which lowers similarities that rest on few users.
    """

    def __init__(
        self, rows: RowsSetting = "full", neighbours: PositiveInt = 100, shrink: NonNegativeFloat = 0.0
    ) -> None:
        self.rows, self.neighbours, self.shrink = rows, neighbours, shrink

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        self.items = dataset.items
        self.selected = self._neighbours(dataset, "valid")
        self.final = self._neighbours(dataset, "test") if is_refitted(dataset, self.rows) else self.selected
        return rows_report(dataset, self.rows)

    def save(self, folder: Path) -> None:
        """Writes selected.safetensors and, after a refit, final.safetensors."""
        _write_neighbours(folder / "selected.safetensors", self.selected)
        if self.final is not self.selected:
            _write_neighbours(folder / "final.safetensors", self.final)

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Reads what `save` wrote.

        Raises:
            InputError: If a file is missing or damaged, or belongs to another catalogue.
        """
        self.items = dataset.items
        titles = len(dataset.items.distinct_titles)
        self.selected = self.final = _read_neighbours(folder / "selected.safetensors", titles)
        if is_refitted(dataset, self.rows):
            self.final = _read_neighbours(folder / "final.safetensors", titles)

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        return rank_by_scores(self.title_scores(rows, split), rows, self.items, k, exclude_history, progress)

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        neighbours = self.final if split == "test" else self.selected
        for start in range(0, len(rows), SCORING_BATCH_ROWS):
            batch = rows.take(np.arange(start, min(start + SCORING_BATCH_ROWS, len(rows))))
            yield neighbours.scores(batch, self.items)

    def _neighbours(self, dataset: Dataset, split: str) -> Neighbours:
        return find_neighbours(fitted_rows(dataset, self.rows, split), dataset.items, self.neighbours, self.shrink)


def find_neighbours(rows: Rows, items: Items, count: int, shrink: float) -> Neighbours:
    """Finds the most similar titles of each title among those that share a user with it.

    One title at a time is compared with all others, so that no matrix of all pairs of titles is made.

    Args:
        rows: The rows to fit to.
        items: The catalogue.
        count: Maximum number of neighbours of a title.
        shrink: Added to the denominator of the similarity.
    """
    titles = len(items.distinct_titles)
    user, title = _user_titles(rows, items)
    users = np.bincount(title, minlength=titles)
    titles_of = _groups(title, np.bincount(user))
    users_of = _groups(user[np.argsort(title, kind="stable")], users)
    root = np.sqrt(users)
    found = Neighbours([], [])
    for one in range(titles):
        together = np.concatenate([np.zeros(0, dtype=np.int64), *(titles_of[each] for each in users_of[one])])
        shared = np.bincount(together, minlength=titles)
        shared[one] = 0
        other = np.flatnonzero(shared)
        # In float32, in which similarities tie that differ by the rounding of float64 alone.
        similarity = (shared[other] / (root[one] * root[other] + shrink)).astype(np.float32)
        best = np.argsort(-similarity, kind="stable")[:count]
        found.titles.append(other[best].astype(np.int32))
        found.similarities.append(similarity[best])
    return found


def _user_titles(rows: Rows, items: Items) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct pairs of a user and a title of the user, ordered, int64 [pairs] each."""
    titles = len(items.distinct_titles)
    user = np.concatenate([rows.user_number, rows.user_number[rows.history_row]]).astype(np.int64)
    title = items.title_of[np.concatenate([rows.target, rows.history])]
    return np.divmod(np.unique(user * titles + title), titles)


def _groups(values: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Splits values into successive groups of the given sizes."""
    return np.split(values, np.cumsum(sizes)[:-1])


def _write_neighbours(path: Path, neighbours: Neighbours) -> None:
    sizes = np.array([len(titles) for titles in neighbours.titles])
    flat = {name: np.concatenate(arrays) for name, arrays in vars(neighbours).items()}
    save_file({"sizes": sizes, **flat}, path)


def _read_neighbours(path: Path, titles: int) -> Neighbours:
    """Reads what `_write_neighbours` wrote. Raises InputError if it is unreadable or of another number of titles."""
    with reading(path):
        stored = load_file(path)
    sizes = stored["sizes"]
    if len(sizes) != titles:
        raise InputError(
            f"{path} belongs to another catalogue, of {len(sizes):,} titles instead of {titles:,}. Use the dataset "
            "that it was fitted to, or fit it again"
        )
    return Neighbours(_groups(stored["titles"], sizes), _groups(stored["similarities"], sizes))
