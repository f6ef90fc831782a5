"""Candidate lists of task rerank: a history and candidates with graded relevance, in the order they are shown in."""

from dataclasses import dataclass, replace

import numpy as np

from llmrec.datasets.dataset import Rows


@dataclass(frozen=True)
class Lists:
    """Lists of m candidates each.

    Attributes:
        rows: One row a list: the user's history before it, its most relevant candidate as the target, and the time of
            its first event.
        history_rating: Ratings aligned with `rows.history`, float32 [history]; None if the dataset has no ratings.
        candidates: Item indices in the order in which they are shown, int32 [lists, m].
        relevance: Relevance of each candidate, float32 [lists, m]: its rating, and 0 for sampled negatives; without
            ratings 1 for the next item and 0 for the others.
    """

    rows: Rows
    history_rating: np.ndarray | None
    candidates: np.ndarray
    relevance: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def gains(self) -> np.ndarray:
        """Gain of each candidate, 2^relevance - 1, float64 [lists, m]."""
        return np.exp2(self.relevance.astype(np.float64)) - 1

    def take(self, index: np.ndarray) -> "Lists":
        """Returns the lists at `index` (int positions), in that order."""
        rating = self.history_rating
        if rating is not None:
            rating = rating[self.rows.flat(index)]
        return Lists(self.rows.take(index), rating, self.candidates[index], self.relevance[index])

    def ratings_of(self, row: int) -> np.ndarray | None:
        """Returns the ratings of one list's history, oldest first; None if the dataset has no ratings."""
        if self.history_rating is None:
            return None
        return self.history_rating[self.rows.offsets[row] : self.rows.offsets[row + 1]]

    def reordered(self, order: np.ndarray) -> "Lists":
        """Returns the same lists with their candidates in another order.

        Args:
            order: The candidates in their new order, as positions in the present one, int [lists, m].
        """
        candidates, relevance = (np.take_along_axis(part, order, 1) for part in (self.candidates, self.relevance))
        return replace(self, candidates=candidates, relevance=relevance)

    def target_order(self, seed: int) -> np.ndarray:
        """Returns the candidates' positions by descending relevance, ties shuffled by the seed, int64 [lists, m]."""
        ties = np.random.default_rng(seed).random(self.relevance.shape)
        return np.lexsort((ties, -self.relevance))


@dataclass(frozen=True)
class ListRule:
    """How lists are made: settings of task rerank and of the dataset.

    Attributes:
        candidates: Candidates of a list (m).
        negatives: How many of them are sampled negatives.
        by_ratings: Whether relevance is the rating; otherwise it is 1 for the next item and 0 for the others.
        seed: Seed of the negatives and of the order in which candidates are shown.
        min_history: Minimum number of events before a list.
        max_history: Maximum length of a history.
    """

    candidates: int
    negatives: int
    by_ratings: bool
    seed: int
    min_history: int
    max_history: int
