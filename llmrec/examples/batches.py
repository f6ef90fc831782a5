"""Builds micro-batches from branches: prompts, the responses that continue them, and the supervised positions."""

from collections.abc import Sequence

import numpy as np
import torch

from llmrec.backbones.packing import pack, predictor_columns
from llmrec.objectives.batch import FREE_TEXT, Batch, Branch


def build_batch(examples: np.ndarray, branches: Sequence[Sequence[Branch]], shared_columns: int) -> Batch:
    """Builds a micro-batch.

    Args:
        examples: Indices of the examples, int [rows].
        branches: The branches of each example, at least one.
        shared_columns: Maximum number of leading tokens to encode once for all rows, if all prompts begin with them
            (see `Packed.shared_columns`).
    """
    prefixes = [_common_prefix([branch.prompt for branch in row]) for row in branches]
    positions = [[np.flatnonzero(branch.response.supervised) for branch in row] for row in branches]
    inputs = [
        [_input_tokens(branch, len(prefix), supervised) for branch, supervised in zip(row, row_positions, strict=True)]
        for row, row_positions, prefix in zip(branches, positions, prefixes, strict=True)
    ]
    packed, starts = pack(prefixes, inputs, _common_columns(prefixes, shared_columns))
    parts = [
        np.stack(
            [
                predictor_columns(starts[r][b], len(branch.prompt) - len(prefixes[r]) + positions[r][b]),
                branch.response.tokens[positions[r][b]],
                branch.response.nodes[positions[r][b]],
                np.full(len(positions[r][b]), r),
                np.full(len(positions[r][b]), b),
            ]
        )
        for r, row in enumerate(branches)
        for b, branch in enumerate(row)
    ]
    column, token, node, row, branch = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64)).unbind(0)
    response_tokens = torch.tensor(sum(len(branch.response.tokens) for row in branches for branch in row))
    has_free_text = bool((node == FREE_TEXT).any())
    return Batch(packed, column, token, node, row, branch, torch.from_numpy(examples), response_tokens, has_free_text)


def _common_prefix(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the tokens that all prompts begin with: the whole prompt if there is only one."""
    first = prompts[0]
    if all(prompt is first for prompt in prompts):
        return first
    shortest = min(map(len, prompts))
    same = np.all([prompt[:shortest] == first[:shortest] for prompt in prompts], axis=0)
    return first[: shortest if same.all() else int(same.argmin())]


def _input_tokens(branch: Branch, prefix: int, supervised: np.ndarray) -> np.ndarray:
    """Returns the tokens of a branch after the common prefix, up to the last supervised token (excluded)."""
    response = branch.response.tokens[: supervised[-1] if len(supervised) else 0]
    return np.concatenate([branch.prompt[prefix:], response])


def _common_columns(prefixes: Sequence[np.ndarray], limit: int) -> int:
    """Returns how many tokens, at most `limit`, all prefixes begin with, without the last one of the shortest."""
    shared = max(0, min(limit, min(map(len, prefixes)) - 1))
    first = prefixes[0][:shared]
    for prefix in prefixes[1:]:
        same = prefix[:shared] == first[:shared]
        if not same.all():
            shared = int(same.argmin())
    return shared
