"""Few numbers in the place of many: weights, rankings and metrics as they are stored."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden.program import Ranking

SHOWN_ROWS = 2
"""Rankings of a split that are stored as they are."""
SHOWN_TEXTS = 3


def weight_changes(trained: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Digests how far each weight has moved; a change of any number in it changes the digest.

    Args:
        trained: Weights by name.
        start: The weights before the training; a missing one counts as zero.

    Returns:
        By name, the L2 norm of the difference and its dot product with a fixed random vector.
    """
    digest = {}
    for name, weight in trained.items():
        moved = weight.double() - start.get(name, torch.zeros(())).double()
        direction = torch.from_numpy(np.random.default_rng(0).standard_normal(moved.numel()))
        digest[name] = [float(moved.norm()), float(moved.flatten() @ direction)]
    return digest


def ranking_values(rankings: Mapping[str, Sequence[Ranking]]) -> dict[str, Any]:
    """Returns the first rankings of each split, and each ranking's sum of scores or, without scores, all rankings."""
    values: dict[str, Any] = {}
    for split, rows in rankings.items():
        if "scores" in rows[0]:
            values |= {f"{split} {row}": ranking for row, ranking in enumerate(rows[:SHOWN_ROWS])}
            values[f"{split} scores"] = [math.fsum(ranking["scores"]) for ranking in rows]
        else:
            values[split] = [ranking["ranked"] for ranking in rows]
    return values


def metric_values(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the numbers among the metrics by split and section."""
    return {
        f"{split} {name}": section
        for split, sections in metrics.items()
        for name, section in sections.items()
        if not isinstance(section, str)
    }


def array_values(array: np.ndarray) -> list[Any]:
    """Returns the shape of an array of numbers, their sum, and a sum weighted by position."""
    numbers = array.astype(np.float64).ravel()
    return [list(array.shape), math.fsum(numbers), math.fsum(numbers * np.arange(1, len(numbers) + 1))]


def text_values(texts: Sequence[str]) -> list[Any]:
    """Returns the number of texts, the first ones, and a checksum of all."""
    checksum = zlib.crc32("\n".join(texts).encode())
    return [len(texts), *texts[:SHOWN_TEXTS], f"{checksum:08x}"]
