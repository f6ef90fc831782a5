"""Packs prompts and their branches into rows: one row per prompt, followed by its branches one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.upload import move_together


@dataclass(frozen=True)
class Packed:
    """Packed rows, the input of the forward primitive.

    Attributes:
        tokens: int64 `[rows, columns]`.
        positions: Position ids, int64 `[rows, columns]`. The positions of every branch continue those of the prompt. If
            no row has more than one branch, they also continue through the padding, because transformers interprets
            positions that restart as another sequence in the same row and would build a mask for it.
        branch: int16 `[rows, columns]`: 0 in the prompt, 1, 2, ... in the branches, -1 in the padding at the end.
        is_causal: Whether no row has more than one branch. Every row is then an ordinary causal sequence that needs no
            mask.
        shared_columns: Number of leading columns that all prompts have in common, which are run once for all rows. The
            last token of the shortest prompt must not be among them.
    """

    tokens: Tensor
    positions: Tensor
    branch: Tensor
    is_causal: bool
    shared_columns: int = 0

    def to(self, device: torch.device | str) -> "Packed":
        """Returns a copy on another device."""
        return self.with_tensors(move_together(self.tensors(), device))

    def tensors(self) -> list[Tensor]:
        """Returns the three tensors."""
        return [self.tokens, self.positions, self.branch]

    def with_tensors(self, tensors: Sequence[Tensor]) -> "Packed":
        """Returns a copy with other tensors, in the order of `tensors`."""
        tokens, positions, branch = tensors
        return replace(self, tokens=tokens, positions=positions, branch=branch)

    def visible(self) -> Tensor | None:
        """Returns the attention mask of the columns after the shared ones.

        Each token sees the prompt and its own branch, up to itself.

        Returns:
            bool `[rows, columns - shared_columns, columns]`, or `[1, columns - shared_columns, columns]` if no row
            has several branches. None if the mask equals the model's own causal mask.
        """
        columns = torch.arange(self.branch.shape[1], device=self.branch.device)
        causal = columns[None, :] <= columns[self.shared_columns :, None]
        if self.is_causal:
            return causal[None] if self.shared_columns else None
        key, query = self.branch[:, None, :], self.branch[:, self.shared_columns :, None]
        return ((key == 0) | (key == query)) & causal


def pack(
    prompts: Sequence[np.ndarray], branches: Sequence[Sequence[np.ndarray]], shared_columns: int = 0
) -> tuple[Packed, list[np.ndarray]]:
    """Packs prompts and their branches into rows.

    Args:
        prompts: Non-empty prompts, int `[length]` each.
        branches: Any number of branches per prompt, int `[length]` each, possibly empty.
        shared_columns: See `Packed.shared_columns`.

    Returns:
        packed: The rows.
        starts: Per row, int64 `[branches, 2]` with flat indices (`row * columns + column`): that of the hidden state
            that predicts the branch's first token, which is the prompt's last, and that of the one that predicts its
            second token. Those for the branch's further tokens follow the latter.
    """
    lengths = [len(prompt) + sum(map(len, row)) for prompt, row in zip(prompts, branches, strict=True)]
    columns = max(lengths)
    tokens = np.zeros((len(prompts), columns), dtype=np.int64)
    positions, branch = np.zeros_like(tokens), np.full_like(tokens, -1, dtype=np.int16)
    is_causal = all(len(row) <= 1 for row in branches)
    predictors = []
    for r, (prompt, row) in enumerate(zip(prompts, branches, strict=True)):
        column = len(prompt)
        tokens[r, :column], positions[r, :column], branch[r, :column] = prompt, np.arange(column), 0
        starts = []
        for b, branch_tokens in enumerate(row, start=1):
            end = column + len(branch_tokens)
            tokens[r, column:end], branch[r, column:end] = branch_tokens, b
            positions[r, column:end] = len(prompt) + np.arange(len(branch_tokens))
            starts.append((r * columns + len(prompt) - 1, r * columns + column))
            column = end
        if is_causal:
            positions[r, column:] = np.arange(column, columns)
        predictors.append(np.array(starts, dtype=np.int64).reshape(-1, 2))
    tensors = [torch.from_numpy(array) for array in (tokens, positions, branch)]
    return Packed(tensors[0], tensors[1], tensors[2], is_causal, shared_columns), predictors


def predictor_columns(starts: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Returns flat indices of the hidden states that predict given tokens of branches.

    Args:
        starts: The branches' starts as returned by `pack`, int64 `[..., 2]`.
        within: Index of each token within its branch, 0 for the first; int, broadcast against `[...]`.
    """
    return np.where(within == 0, starts[..., 0], starts[..., 1] + within - 1)


def unpack(packed: Packed) -> tuple[Tensor, Tensor, Tensor]:
    """Unpacks rows into plain sequences, one per branch (one per row without branches), for the plain path.

    Returns:
        tokens: int64 `[sequences, length]`, right-padded.
        lengths: int64 `[sequences]`.
        index: Sequence and position of every packed column, int64 `[rows, columns, 2]`. A prompt column is looked up in
            its row's first sequence.
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
