"""The mean-rating baseline: ranks candidates by their mean rating, the same for all users.

For task rerank with ratings only.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting, RowsSetting
from llmrec.baselines.fitted_file import reading
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from llmrec.settings.types import PositiveFloat


class MeanRating(Baseline):
    """Ranks titles by their damped mean rating in the training lists.

    The damped mean of a title is (sum of its ratings + damping * overall mean) / (number of its ratings + damping).

    Args:
        rows: "full" for all training lists, "sample" for those that language models are tuned on.
        damping: Number of ratings with the overall mean that are added to each title.
    """

    def __init__(self, rows: RowsSetting = "sample", damping: PositiveFloat = 5.0) -> None:
        self.rows, self.damping = rows, damping

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Computes the damped means.

        Raises:
            InputError: If the dataset has no lists with ratings.
        """
        lists = dataset.lists.get("train" if self.rows == "full" else "sample")
        if lists is None or lists.history_rating is None:
            raise InputError(
                "baseline=mean_rating ranks lists by ratings: set task=rerank and a dataset with ratings "
                "(movielens_100k), or baseline=popularity"
            )
        rated = lists.relevance > 0
        title, rating = dataset.items.title_of[lists.candidates[rated]], lists.relevance[rated]
        titles = len(dataset.items.distinct_titles)
        total, count = np.bincount(title, rating, minlength=titles), np.bincount(title, minlength=titles)
        self.mean = (total + self.damping * rating.mean()) / (count + self.damping)
        return {"rows": self.rows, "fitted_lists": len(lists), "ratings": len(rating), "mean": float(rating.mean())}

    def save(self, folder: Path) -> None:
        """Writes means.json with the damped means of all distinct titles."""
        (folder / "means.json").write_text(json.dumps(self.mean.tolist()), encoding="utf-8")

    def load(self, folder: Path, dataset: Dataset) -> None:
        path = folder / "means.json"
        with reading(path):
            self.mean = np.array(json.loads(path.read_text(encoding="utf-8")))

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raises InputError, because a mean rating does not tell how likely a title is to be the next one."""
        raise InputError("baseline=mean_rating ranks candidate lists, not the catalogue: set task=rerank")

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        yield np.broadcast_to(self.mean.astype(np.float32), (len(rows), len(self.mean)))
