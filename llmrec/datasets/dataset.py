"""What every reader returns: a prepared dataset of items and time-ordered rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.catalogue.items import Items

if TYPE_CHECKING:
    from llmrec.datasets.lists import Lists


@dataclass(frozen=True)
class Rows:
    """Rows of one split: row r is a user's history and the target that followed it.

    user: str array [n]; history: int32 item indices, flat, oldest first; offsets: int64 [n + 1] into history;
    target: int32 item index [n]; timestamp: int64 [n], unix seconds of the target.
    """

    user: np.ndarray
    history: np.ndarray
    offsets: np.ndarray
    target: np.ndarray
    timestamp: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def history_of(self, row: int) -> np.ndarray:
        """The item indices of one row's history, oldest first."""
        return self.history[self.offsets[row] : self.offsets[row + 1]]

    @property
    def history_row(self) -> np.ndarray:
        """int64 [history]: the row that each flat history entry belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def flat(self, index: np.ndarray) -> np.ndarray:
        """int64: positions in `history` of the histories of the rows at `index` (int), one after another."""
        lengths = np.diff(self.offsets)[index]
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) + np.repeat(self.offsets[:-1][index] - (ends - lengths), lengths)

    def take(self, index: np.ndarray) -> "Rows":
        """The rows at `index` (int positions or a boolean mask), in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        return replace(
            self,
            user=self.user[index],
            history=self.history[self.flat(index)],
            offsets=np.concatenate([[0], np.cumsum(np.diff(self.offsets)[index])]).astype(np.int64),
            target=self.target[index],
            timestamp=self.timestamp[index],
        )

    def followed_by(self, other: "Rows") -> "Rows":
        """These rows and then those of `other`, which are of the same items."""
        return Rows(
            user=np.concatenate([self.user, other.user]),
            history=np.concatenate([self.history, other.history]),
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            target=np.concatenate([self.target, other.target]),
            timestamp=np.concatenate([self.timestamp, other.timestamp]),
        )


def draw(count: int, size: int | None, seed: int) -> np.ndarray:
    """int64: `size` of the positions 0 .. count - 1, in order, drawn by the seed; all if size is None or not below."""
    if size is None or size >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset.

    train: every training row; sample: the training rows that language models are tuned on (the papers' 10,000), a
    subset of train; report: what the leakage report found; best_ndcg10: the best possible NDCG@10 of a simulated set
    by split ("valid", "test"), None for real data; train_file: the file that train was read from, None where it was
    split off here; only_a_sample: that file is itself the published sample; valid_held_out: valid was held out of it;
    lists: what task rerank ranks, "train", "sample", "valid" and "test"; empty for other tasks.
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
