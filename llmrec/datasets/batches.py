"""Micro-batches: prompts with the titles that continue them, and the positions that an objective supervises."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llmrec.backbones.packing import pack, predictor_columns
from llmrec.catalogue.titles import TitleTokens
from llmrec.objectives.base import Batch


@dataclass(frozen=True)
class Responses:
    """The distinct titles as responses: path, the trie node before each token; supervised, whether it is. Both flat."""

    titles: TitleTokens
    path: np.ndarray
    supervised: np.ndarray

    def fed(self, title: int) -> np.ndarray:
        """The tokens of a title that the model must read: those before its last supervised one."""
        positions = self._positions(title)
        return self.titles.of(title)[: positions[-1] if len(positions) else 0]

    def supervision(self, title: int, starts: np.ndarray, row: int, branch: int) -> np.ndarray:
        """int64 [5, positions]: column of the predicting state, token, node, row and branch (Batch)."""
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
    """The micro-batch of some examples (int [rows]), their prompts and, for each, the titles of its branches.

    shared: how many tokens all prompts begin with (Packed.shared).
    """
    packed, starts = pack(prompts, [[responses.fed(title) for title in row] for row in branches], shared)
    parts = [
        responses.supervision(title, starts[row][branch], row, branch)
        for row, titles in enumerate(branches)
        for branch, title in enumerate(titles)
    ]
    at, token, node, row, branch = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64)).unbind(0)
    length = sum(len(responses.titles.of(title)) for titles in branches for title in titles)
    return Batch(packed, at, token, node, row, branch, torch.from_numpy(examples), torch.tensor(length))
