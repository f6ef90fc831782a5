"""Mean ratings: what everybody thinks of a candidate, whoever asks; task rerank with ratings only."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.baselines.base import Baseline, Fitting, RowsSetting
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError


class MeanRating(Baseline):
    """Ranks by a title's mean rating in the training lists, drawn towards the mean of all by `damping` ratings of it.

    rows: every training list ("full"), or those that language models are tuned on ("sample").
    """

    def __init__(self, rows: RowsSetting = "sample", damping: float = 5.0) -> None:
        if rows not in ("full", "sample"):
            raise ValueError(f"baseline.rows={rows}: choose one of full, sample")
        if not damping > 0:
            raise ValueError(f"baseline.damping={damping}: give a number above 0")
        self.rows, self.damping = rows, damping

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Takes the means; nothing is chosen. Raises InputError where there are no lists with ratings."""
        lists = dataset.lists.get("train" if self.rows == "full" else "sample")
        if lists is None or lists.history_rating is None:
            raise InputError(
                "baseline=mean_rating ranks lists by ratings: take task=rerank and a dataset with ratings "
                "(movielens_100k), or baseline=popularity"
            )
        rated = lists.relevance > 0
        title, rating = dataset.items.title_of[lists.candidates[rated]], lists.relevance[rated]
        titles = len(dataset.items.distinct_titles)
        total, count = np.bincount(title, rating, minlength=titles), np.bincount(title, minlength=titles)
        self.mean = (total + self.damping * rating.mean()) / (count + self.damping)
        return {"rows": self.rows, "fitted_lists": len(lists), "ratings": len(rating), "mean": float(rating.mean())}

    def save(self, folder: Path) -> None:
        """Writes the means of all distinct titles."""
        (folder / "means.json").write_text(json.dumps(self.mean.tolist()), encoding="utf-8")

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Takes up the means."""
        self.mean = np.array(json.loads((folder / "means.json").read_text(encoding="utf-8")))

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raises InputError: who liked a title says nothing of who takes it next."""
        raise InputError("baseline=mean_rating ranks candidate lists, not the catalogue: take task=rerank")

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        """As Baseline.title_scores; a title's score is its damped mean."""
        yield np.broadcast_to(self.mean.astype(np.float32), (len(rows), len(self.mean)))
