"""Gumbel noise that turns a beam search into sampling without replacement (stochastic beam search)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from llmrec.decoding.edge_scores import NEGATIVE_INFINITY


def perturbed(total: Tensor, child: Tensor, parent: Tensor, parent_score: Tensor, seeds: Tensor) -> Tensor:
    """Returns the scores of continuations, perturbed such that the largest of a prefix equals the prefix's own.

    Then the titles with the k largest scores of all are a sample without replacement, and a search may drop all
    prefixes but the k best. Source: stochastic beam search, arXiv 1903.06059, algorithm 1 and appendix B.3.

    Args:
        total: The log-probabilities of the continuations, float32 `[rows, width]`; -inf is padding.
        child: Their nodes, int64 `[rows, width]`.
        parent: The prefix that each continues, int64 `[rows, width]`.
        parent_score: The perturbed scores of the prefixes, float32 `[rows, prefixes]`.
        seeds: The seed of each row's noise, int64 `[rows]`.

    Returns:
        float32 `[rows, width]`.
    """
    score = total + gumbel(seeds[:, None], child)
    largest = torch.full_like(parent_score, NEGATIVE_INFINITY).scatter_reduce(1, parent, score, "amax")
    own = parent_score.gather(1, parent)
    gap = own - score + torch.log1p(-torch.exp(score - largest.gather(1, parent)))
    shifted = own - gap.clamp(min=0) - torch.log1p(torch.exp(-gap.abs()))
    return torch.where(total == NEGATIVE_INFINITY, total, shifted)


def gumbel(seed: Tensor, node: Tensor) -> Tensor:
    """Returns standard Gumbel noise that is a function of seed and node, the same on all devices and in all batches.

    Args:
        seed: int64, broadcast against `node`.
        node: int64.

    Returns:
        float32, in the common shape.
    """
    bits = _mixed(_mixed(seed) + node)
    uniform = (_shifted(bits, 12).double() + 0.5) / 2**52
    return -torch.log(-torch.log(uniform)).float()


def row_seeds(run: int, epoch: int, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns the seed of each row's noise in an epoch of a run, int64 `[rows]`."""
    states = [np.random.SeedSequence([run, epoch, int(row)]).generate_state(1, np.uint64) for row in rows]
    return np.concatenate(states).view(np.int64)


def _mixed(value: Tensor) -> Tensor:
    """Returns the next output of the generator SplitMix64 with a given state, int64; products wrap around."""
    value = value + _signed(0x9E3779B97F4A7C15)
    value = (value ^ _shifted(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ _shifted(value, 27)) * _signed(0x94D049BB133111EB)
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Shifts 64 bits to the right and fills in zeros; torch repeats the sign bit."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
