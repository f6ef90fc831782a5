"""A dataset ready for training: items, rows of each split, and candidate lists for task rerank."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from llmrec.catalogue.items import Items
from llmrec.datasets.popularity import title_popularity

if TYPE_CHECKING:
    from llmrec.datasets.lists import Lists


@dataclass(frozen=True)
class Rows:
    """Rows of one split: row r is a user's history and the target that followed it.

    Attributes:
        user: ID of the user, Python strings [rows], because NumPy's strings all take the memory of the longest and lose
            NULs at their end.
        history: Item indices of all histories, int32, flat, each history oldest first.
        offsets: Start of each row's history in `history`, and the end of the last, int64 [rows + 1].
        target: Item index of the target, int32 [rows].
        timestamp: Time of the target in unix seconds, int64 [rows].
        candidates: Item indices of the candidates in the order in which they are shown, the target among them, int32
            [rows, m]; None except in task candidates.
    """

    user: np.ndarray
    history: np.ndarray
    offsets: np.ndarray
    target: np.ndarray
    timestamp: np.ndarray
    candidates: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    def history_of(self, row: int) -> np.ndarray:
        """Returns the item indices of one row's history, oldest first."""
        return self.history[self.offsets[row] : self.offsets[row + 1]]

    def candidates_of(self, row: int) -> np.ndarray:
        """Returns the item indices of one row's candidates, in the order in which they are shown; empty without any."""
        return np.zeros(0, dtype=np.int32) if self.candidates is None else self.candidates[row]

    def candidate_titles(self, items: Items) -> np.ndarray:
        """Returns the distinct titles of the candidates of rows that have some, int [rows, m]."""
        assert self.candidates is not None
        titles: np.ndarray = items.title_of[self.candidates]
        return titles

    @cached_property
    def user_number(self) -> np.ndarray:
        """A number of each row's user, by which rows are grouped faster than by strings, int [rows].

        Users are numbered from 0 in the order in which they first appear.
        """
        numbers: np.ndarray = pa.array(self.user).dictionary_encode().indices.to_numpy()
        return numbers

    @cached_property
    def history_row(self) -> np.ndarray:
        """The row that each entry of `history` belongs to, int64 [history]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def flat(self, index: np.ndarray) -> np.ndarray:
        """Returns the positions in `history` of the histories of the rows at `index` (int), concatenated, int64."""
        lengths = np.diff(self.offsets)[index]
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) + np.repeat(self.offsets[:-1][index] - (ends - lengths), lengths)

    def take(self, index: np.ndarray) -> "Rows":
        """Returns the rows at `index` (int positions or a boolean mask), in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        return replace(
            self,
            user=self.user[index],
            history=self.history[self.flat(index)],
            offsets=np.concatenate([[0], np.cumsum(np.diff(self.offsets)[index])]).astype(np.int64),
            target=self.target[index],
            timestamp=self.timestamp[index],
            candidates=None if self.candidates is None else self.candidates[index],
        )

    def followed_by(self, other: "Rows") -> "Rows":
        """Returns these rows followed by those of `other`, which must index the same items; without candidates."""
        return Rows(
            user=np.concatenate([self.user, other.user]),
            history=np.concatenate([self.history, other.history]),
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            target=np.concatenate([self.target, other.target]),
            timestamp=np.concatenate([self.timestamp, other.timestamp]),
        )


def draw(count: int, size: int | None, seed: int) -> np.ndarray:
    """Samples `size` of the positions 0 .. count - 1 without replacement.

    Returns:
        The positions in ascending order, int64; all of them if `size` is None or at least `count`.
    """
    if size is None or size >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


@dataclass(frozen=True)
class Dataset:
    """A dataset ready for training.

    Attributes:
        name: Name used in paths and tables; ends in "-sim" for simulated data.
        simulated: Whether the data is simulated.
        items: The catalogue.
        train: All training rows.
        sample: The training rows that language models are tuned on (10,000 in the papers), a subset of `train`.
        valid: Validation rows.
        test: Test rows.
        content_hash: SHA-256 (hex) over the data and the settings that shape the prepared dataset.
        report: The leakage report (see `leakage_report`), with entries for the sample and the candidate lists.
        best_ndcg10: Best possible NDCG@10 by split ("valid", "test"); None for real data.
        train_file: Name of the file that `train` was read from; None if llmrec split interactions itself.
        only_a_sample: Whether `train_file` is itself the published sample.
        valid_held_out: Whether `valid` was held out of `train_file`.
        lists: Candidate lists of task rerank by split ("train", "sample", "valid", "test"); empty for other tasks.
    """

    name: str
    simulated: bool
    items: Items
    train: Rows
    sample: Rows
    valid: Rows
    test: Rows
    content_hash: str
    report: dict[str, Any]
    best_ndcg10: dict[str, float] | None = None
    train_file: str | None = None
    only_a_sample: bool = False
    valid_held_out: bool = False
    lists: Mapping[str, "Lists"] = field(default_factory=dict)

    @cached_property
    def title_popularity(self) -> np.ndarray:
        """Number of users who have each title in `train`, int64 [distinct titles]; see `title_popularity`."""
        return title_popularity(self.train, self.items)
