"""Builds micro-batches: prompts, the titles that continue them, and the positions that an objective supervises."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llmrec.backbones.packing import pack, predictor_columns
from llmrec.catalogue.titles import TitleTokens
from llmrec.objectives.base import Batch


@dataclass(frozen=True)
class Responses:
    """The distinct titles as responses.

    Attributes:
        titles: The tokens of each title, EOS included.
        path: Trie node reached before each token, int32 [title tokens], aligned with `titles.tokens`.
        supervised: Whether each token is supervised, bool [title tokens], aligned with `titles.tokens`.
    """

    titles: TitleTokens
    path: np.ndarray
    supervised: np.ndarray

    def fed(self, title: int) -> np.ndarray:
        """Returns the input tokens of a title, int32 [length]: those before its last supervised token."""
        positions = self._positions(title)
        return self.titles.of(title)[: positions[-1] if len(positions) else 0]

    def supervision(self, title: int, starts: np.ndarray, row: int, branch: int) -> np.ndarray:
        """Returns the supervised positions of one branch in the layout of `Batch`.

        Args:
            title: The distinct title that the branch holds.
            starts: Where the branch starts, int64 [2], as `pack` returns it.
            row: The branch's row in the micro-batch.
            branch: The branch's number in its row.

        Returns:
            int64 [5, positions]: flat column of the predicting hidden state, token, trie node, row and branch.
        """
        positions = self._positions(title)
        start = self.titles.offsets[title]
        return np.stack(
            [
                predictor_columns(starts, positions),
                self.titles.tokens[start + positions],
                self.path[start + positions],
                np.full(len(positions), row),
                np.full(len(positions), branch),
            ]
        )

    def _positions(self, title: int) -> np.ndarray:
        return np.flatnonzero(self.supervised[self.titles.offsets[title] : self.titles.offsets[title + 1]])


def build_batch(
    examples: np.ndarray,
    prompts: Sequence[np.ndarray],
    branches: Sequence[Sequence[int]],
    responses: Responses,
    shared: int,
) -> Batch:
    """Builds a micro-batch.

    Args:
        examples: Indices of the examples, int [rows].
        prompts: The prompt of each example, int [length].
        branches: The distinct titles that continue each prompt, one branch a title.
        responses: The tokens of the titles and which of them are supervised.
        shared: Number of tokens that all prompts begin with (see `Packed.shared`).
    """
    packed, starts = pack(prompts, [[responses.fed(title) for title in row] for row in branches], shared)
    parts = [
        responses.supervision(title, starts[row][branch], row, branch)
        for row, titles in enumerate(branches)
        for branch, title in enumerate(titles)
    ]
    column, token, node, row, branch = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64)).unbind(0)
    response_tokens = sum(len(responses.titles.of(title)) for titles in branches for title in titles)
    return Batch(packed, column, token, node, row, branch, torch.from_numpy(examples), torch.tensor(response_tokens))
