"""Few numbers in the place of many: weights, rankings and metrics as they are stored."""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden.program import LONG_SECTIONS, Ranking

SHOWN_ROWS = 2
"""Rankings of a split that are stored as they are."""


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
    """Returns the first rankings of each split; of all of them a checksum, and each one's sum of scores."""
    values: dict[str, Any] = {}
    for split, rows in rankings.items():
        values |= {f"{split} {row}": ranking for row, ranking in enumerate(rows[:SHOWN_ROWS])}
        ranked = json.dumps([ranking["ranked"] for ranking in rows], ensure_ascii=False)
        values[f"{split} checksum"] = f"{zlib.crc32(ranked.encode()):08x}"
        if "scores" in rows[0]:
            values[f"{split} scores"] = [math.fsum(ranking["scores"]) for ranking in rows]
    return values


def metric_values(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the numbers among the metrics by split and section."""
    return {
        f"{split} {name}": section
        for split, sections in metrics.items()
        for name, section in sections.items()
        if not isinstance(section, str)
    }


def without_details(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the long sections by digests: how many numbers there are, their sum, and a sum weighted by place."""
    values = dict(metrics)
    for name in values:
        if name.endswith(LONG_SECTIONS):
            numbers = _numbers(values[name])
            weighted = [place * number for place, number in enumerate(numbers, 1)]
            values[name] = [len(numbers), math.fsum(numbers), math.fsum(weighted)]
    return values


def _numbers(section: Any) -> list[float]:
    """Returns the numbers of nested mappings and lists, the mappings' in the order of their names."""
    if isinstance(section, int | float):
        return [section]
    parts = [section[name] for name in sorted(section)] if isinstance(section, Mapping) else section
    return [number for part in parts for number in _numbers(part)]
