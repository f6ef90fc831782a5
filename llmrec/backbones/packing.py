"""Prompts and their branches laid out in rows: one row a prompt, its branches one after another behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Rows ready for the forward primitive.

    tokens, positions: int64 [rows, columns]; every branch takes up the positions that follow the prompt. Where a row
    has one branch at most, positions run on through the padding: transformers takes positions that start anew for
    another sequence in the same row, and would build a mask for it;
    branch: int16 [rows, columns], 0 in the prompt, 1, 2, ... in the branches, -1 in the padding at the end; shared: how
    many columns all prompts have in common, short of the last of the shortest: they are run once for all rows.
    """

    tokens: Tensor
    positions: Tensor
    branch: Tensor
    single: bool
    """No row has more than one branch: every row is an ordinary causal sequence and needs no mask."""
    shared: int = 0

    def to(self, device: torch.device | str) -> "Packed":
        """The same rows on another device."""
        tensors = (field.name for field in fields(self)[:3])
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in tensors}
        return replace(self, **moved)

    def visible(self) -> Tensor | None:
        """What each query behind the shared columns sees: the prompt and its own branch, up to itself.

        bool [rows, columns - shared, columns]; one row for all where no row has several branches; None where that is
        what a causal model does anyway.
        """
        columns = torch.arange(self.branch.shape[1], device=self.branch.device)
        causal = columns[None, :] <= columns[self.shared :, None]
        if self.single:
            return causal[None] if self.shared else None
        key, query = self.branch[:, None, :], self.branch[:, self.shared :, None]
        return ((key == 0) | (key == query)) & causal


def pack(
    prompts: Sequence[np.ndarray], branches: Sequence[Sequence[np.ndarray]], shared: int = 0
) -> tuple[Packed, list[np.ndarray]]:
    """Lays out prompts (int [length] each, not empty) and, for each, any number of branches (may be empty).

    shared: Packed.shared.

    Returns the rows and, per row, int64 [branches, 2]: the flat index (row * columns + column) of the hidden state that
    predicts a branch's first token, which is the prompt's last, and of the one that predicts its second; the others
    follow it.
    """
    lengths = [len(prompt) + sum(map(len, row)) for prompt, row in zip(prompts, branches, strict=True)]
    columns = max(lengths)
    tokens = np.zeros((len(prompts), columns), dtype=np.int64)
    positions, branch = np.zeros_like(tokens), np.full_like(tokens, -1, dtype=np.int16)
    single = all(len(row) <= 1 for row in branches)
    predictors = []
    for r, (prompt, row) in enumerate(zip(prompts, branches, strict=True)):
        column = len(prompt)
        tokens[r, :column], positions[r, :column], branch[r, :column] = prompt, np.arange(column), 0
        starts = []
        for b, fed in enumerate(row, start=1):
            end = column + len(fed)
            tokens[r, column:end], branch[r, column:end] = fed, b
            positions[r, column:end] = len(prompt) + np.arange(len(fed))
            starts.append((r * columns + len(prompt) - 1, r * columns + column))
            column = end
        if single:
            positions[r, column:] = np.arange(column, columns)
        predictors.append(np.array(starts, dtype=np.int64).reshape(-1, 2))
    laid_out = [torch.from_numpy(part) for part in (tokens, positions, branch)]
    return Packed(laid_out[0], laid_out[1], laid_out[2], single, shared), predictors


def predictor_columns(starts: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Flat indices of the hidden states that predict tokens `within` (0 = first) of the branch with these starts."""
    return np.where(within == 0, starts[..., 0], starts[..., 1] + within - 1)


def unpack(packed: Packed) -> tuple[Tensor, Tensor, Tensor]:
    """The same content as plain sequences, one a branch (or one a row without branches): the primitive's slow twin.

    Returns tokens int64 [sequences, length], right-padded; lengths int64 [sequences]; and index int64 [rows, columns,
    2]: for every column the (sequence, position) where it stands; a prompt column stands in its row's first sequence.
    """
    sequences: list[Tensor] = []
    index = torch.zeros((*packed.tokens.shape, 2), dtype=torch.long)
    for r in range(len(packed.tokens)):
        branch = packed.branch[r].cpu()
        prompt = torch.nonzero(branch == 0)[:, 0]
        for b in range(1, max(int(branch.max()), 1) + 1):
            columns = torch.cat([prompt, torch.nonzero(branch == b)[:, 0]])
            new = columns if b == 1 else columns[len(prompt) :]
            index[r, new, 0] = len(sequences)
            index[r, columns, 1] = torch.arange(len(columns))
            sequences.append(packed.tokens[r, columns.to(packed.tokens.device)])
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    device = packed.tokens.device
    return tokens, torch.tensor([len(s) for s in sequences], device=device), index.to(device)
