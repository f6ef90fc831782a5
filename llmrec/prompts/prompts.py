"""Tokenized prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prompts:
    """Tokenized prompts.

    Attributes:
        tokens: Tokens of all prompts, int32, flat.
        offsets: Start of each prompt in `tokens`, and the end of the last, int64 [prompts + 1].
        truncated: Number of prompts that lost their oldest titles to the length limit.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def joined(pieces: Sequence[np.ndarray], truncated: int = 0) -> "Prompts":
        """Concatenates token sequences, int [length] each."""
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        flat = np.concatenate([np.zeros(0, dtype=np.int32), *pieces]).astype(np.int32)
        return Prompts(flat, offsets, truncated)

    def of(self, row: int) -> np.ndarray:
        """Returns the tokens of one prompt, int32 [length]."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each prompt, int64 [prompts]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> "Prompts":
        """Returns the prompts of some rows, in that order."""
        return Prompts.joined([self.of(row) for row in rows])

    def shared_prefix(self) -> np.ndarray:
        """Returns the tokens that all prompts begin with, never including the last token of the shortest prompt."""
        columns = np.arange(self.lengths.min() - 1)
        table = self.tokens[self.offsets[:-1, None] + columns]
        same = (table == table[0]).all(axis=0)
        return self.of(0)[: len(columns) if same.all() else int(same.argmin())]
