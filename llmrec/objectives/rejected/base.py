"""What a rejected sampler is, and what all of them must leave out: the target and the user's history."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from llmrec.datasets.data_module import NextItemData
from llmrec.errors import InputError
from llmrec.objectives.base import Preparation

CHUNK = 256
"""Rows drawn at a time: 17,256 titles for each of them are 18 MB."""


class Rejected(ABC):
    """Names titles that rows of the training sample did not take, from train alone, seeded."""

    @abstractmethod
    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """Rejected titles of rows (int [n]) of the training sample: int64 [n, count], all different within a row.

        Never a row's target nor a title of its history, nor one that the tokenizer makes equal to these. Raises
        InputError, naming the row, where the catalogue has no `count` others.
        """


def canonical(data: NextItemData) -> np.ndarray:
    """int64 [distinct titles]: the first of the titles with the same tokens, which stands for all of them."""
    return data.trie.leaf_title.numpy()[data.trie.title_leaf.numpy()].astype(np.int64)


def forbidden(data: NextItemData, rows: np.ndarray) -> np.ndarray:
    """int64 [rows, longest history + 1]: what each row must not get, target and history, -1 = padding."""
    sample = data.sample.rows.take(rows)
    stands_for = canonical(data)[data.dataset.items.title_of]
    table = np.full((len(rows), int(np.diff(sample.offsets).max(initial=0)) + 1), -1, dtype=np.int64)
    table[:, 0] = stands_for[sample.target]
    column = 1 + np.arange(len(sample.history)) - sample.offsets[sample.history_row]
    table[sample.history_row, column] = stands_for[sample.history]
    return table


def chunks(rows: np.ndarray) -> Iterator[slice]:
    """Slices of at most CHUNK rows."""
    return (slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK))


def mark(scores: np.ndarray, titles: np.ndarray, value: float) -> None:
    """Sets scores [rows, titles of the catalogue] to a value at each row's titles (int [rows, n], -1 = padding)."""
    row, column = np.nonzero(titles >= 0)
    scores[row, titles[row, column]] = value


def refuse_missing(data: NextItemData, rows: np.ndarray, missing: np.ndarray, count: int, why: str) -> None:
    """Raises InputError for the first row (int [n]) that `missing` (bool [n]) marks: it has no `count` candidates."""
    if missing.any():
        row = int(rows[int(missing.argmax())])
        raise InputError(
            f"row {row} of the training sample (user {data.sample.rows.user[row]}): {why}, so no {count} of them can "
            f"be rejected; the catalogue of {data.dataset.name} has {len(data.titles):,} titles. Remove such rows, add "
            "items, or choose another objective/rejected"
        )
