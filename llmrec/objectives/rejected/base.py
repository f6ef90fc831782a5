"""The interface of samplers of rejected titles, and what all of them use to exclude targets and histories."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import ClassVar

import numpy as np

from llmrec.errors import InputError
from llmrec.objectives.preparation import CatalogueSample, Preparation

CHUNK_ROWS = 256
"""Rows sampled at a time. With a catalogue of 17,256 titles, a float32 array of their scores takes 18 MB."""


class Rejected(ABC):
    """Base of samplers of rejected titles for rows of the training sample.

    Samplers use only the training split and are seeded by the run's seed.

    Attributes:
        tasks: The tasks whose rows it can sample for.
    """

    tasks: ClassVar[Collection[str]] = ("next_item", "candidates")

    @abstractmethod
    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """Samples rejected titles.

        Args:
            preparation: See `Objective.prepare`.
            rows: Rows of the training sample, int [n].
            count: Number of titles per row.

        Returns:
            Distinct titles, int64 [n, count], all different within a row. They never include the row's target, a title
            of its history, or a title with the same tokens as one of these.

        Raises:
            InputError: If the catalogue has too few such titles for a row; the message names the row.
        """


def first_equal_titles(data: CatalogueSample) -> np.ndarray:
    """Returns, for each distinct title, the first title with the same tokens, int64 [distinct titles]."""
    return data.trie.leaf_title.numpy()[data.trie.title_leaf.numpy()].astype(np.int64)


def excluded_titles(data: CatalogueSample, rows: np.ndarray) -> np.ndarray:
    """Returns the titles that must not be sampled for each row: its target and its history.

    Returns:
        The target, then the history, int64 [rows, longest history + 1]; -1 is padding. Of titles with equal tokens, the
        first stands for all.
    """
    sample = data.sample.rows.take(rows)
    title_of_item = first_equal_titles(data)[data.dataset.items.title_of]
    table = np.full((len(rows), int(np.diff(sample.offsets).max(initial=0)) + 1), -1, dtype=np.int64)
    table[:, 0] = title_of_item[sample.target]
    column = 1 + np.arange(len(sample.history)) - sample.offsets[sample.history_row]
    table[sample.history_row, column] = title_of_item[sample.history]
    return table


def row_slices(rows: np.ndarray) -> Iterator[slice]:
    """Yields slices of at most CHUNK_ROWS rows that cover all rows."""
    return (slice(start, start + CHUNK_ROWS) for start in range(0, len(rows), CHUNK_ROWS))


def fill_at_titles(scores: np.ndarray, titles: np.ndarray, value: float) -> None:
    """Sets each row's scores of some titles to a value, in place.

    Args:
        scores: [rows, distinct titles].
        titles: The titles of each row, int [rows, n]; -1 is padding.
        value: The value.
    """
    row, column = np.nonzero(titles >= 0)
    scores[row, titles[row, column]] = value


def require_candidates(
    data: CatalogueSample, rows: np.ndarray, is_missing: np.ndarray, count: int, reason: str
) -> None:
    """Checks that every row has enough titles that can be rejected.

    Args:
        data: The training sample.
        rows: Rows of the training sample, int [n].
        is_missing: Whether a row has fewer than `count` candidates, bool [n].
        count: Number of titles per row.
        reason: Why candidates are missing, for the message.

    Raises:
        InputError: For the first row with too few candidates.
    """
    if is_missing.any():
        row = int(rows[int(is_missing.argmax())])
        raise InputError(
            f"Cannot sample {count} rejected titles for row {row} of the training sample (user "
            f"{data.sample.rows.user[row]}): {reason} (the catalogue of {data.dataset.name} has {len(data.titles):,} "
            "titles). Remove such rows, add items, or choose another objective/rejected."
        )
