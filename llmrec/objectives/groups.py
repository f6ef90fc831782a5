"""Divides supervised tokens into groups for GDRT: equal-frequency bins of relevance or position, or random groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from llmrec.errors import InputError
from llmrec.objectives.preparation import CatalogueSample

Grouping = Literal["relevance", "random", "position"]


@dataclass(frozen=True)
class SupervisedTokens:
    """The trie edges that the training sample's targets pass at supervised positions, each once.

    Attributes:
        edge: Indices of the edges, int64 [n].
        rows: Number of training rows that pass each edge, int64 [n].
        position: Position of the edge's token in the response, 0 for the first, int64 [n].
        relevance: Probability of the token after the history-free prompt, float64 [n].
    """

    edge: np.ndarray
    rows: np.ndarray
    position: np.ndarray
    relevance: np.ndarray


def supervised_tokens(
    data: CatalogueSample, titles: np.ndarray, log_probability: Sequence[np.ndarray]
) -> SupervisedTokens:
    """Collects the supervised tokens of the training sample's targets.

    Args:
        data: The training sample.
        titles: The distinct titles of the sample's targets, int [m].
        log_probability: Log-probabilities of each title's tokens after the history-free prompt, float [length] each.
    """
    counts = np.bincount(data.sample_titles, minlength=len(data.titles))[titles]
    starts, lengths = data.titles.offsets[titles], np.diff(data.titles.offsets)[titles]
    position = np.concatenate([np.arange(length) for length in lengths])
    flat = np.repeat(starts, lengths) + position
    supervised = data.supervised[flat]
    flat, position = flat[supervised], position[supervised]
    edges = data.trie.edges(torch.from_numpy(data.path[flat]), torch.from_numpy(data.titles.tokens[flat])).numpy()
    # One value per edge: the same edge scored in two batches differs in the last digits, and would then count as two
    # values, which may end up in different groups.
    edge, first, inverse = np.unique(edges, return_index=True, return_inverse=True)
    rows = np.bincount(inverse, weights=np.repeat(counts, lengths)[supervised]).astype(np.int64)
    relevance = np.exp(np.concatenate(log_probability)[supervised][first].astype(np.float64))
    return SupervisedTokens(edge, rows, position[first], relevance)


def assign_groups(tokens: SupervisedTokens, grouping: Grouping, count: int, seed: int) -> np.ndarray:
    """Assigns each token to a group.

    Source: our reading of arXiv 2510.10978 (GDRT). "random" and "position" are controls.

    Args:
        tokens: The n supervised tokens.
        grouping: The quantity that tokens are ordered by.
        count: Number of groups.
        seed: Seed for "random".

    Returns:
        int64 [n]; group 0 has the lowest values.

    Raises:
        InputError: If there are fewer distinct values than groups.
    """
    values = {
        "relevance": tokens.relevance,
        "position": tokens.position,
        "random": np.random.default_rng(seed).random(len(tokens.edge)),
    }[grouping]
    distinct = len(np.unique(values))
    if count > distinct:
        raise InputError(
            f"objective.group_count={count}, but the supervised tokens of the training sample have only {distinct} "
            f"different values of {grouping}. Lower objective.group_count, or use more rows (dataset.train_samples)."
        )
    return equal_frequency(values, tokens.rows, count)


def equal_frequency(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Assigns each value to one of `count` bins of equal total weight.

    Ties: equal values always share a bin, the one that contains the middle of their total weight. A single value that
    outweighs a bin therefore leaves a neighboring bin empty.

    Args:
        values: [n].
        weights: Weight of each value, [n].
        count: Number of bins.

    Returns:
        int64 [n]; bin 0 has the lowest values.
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    weight = np.bincount(inverse, weights=weights, minlength=len(distinct))
    middle = np.cumsum(weight) - weight / 2
    bins = np.minimum(count * middle / weight.sum(), count - 1).astype(np.int64)
    return bins[inverse]


def describe_groups(tokens: SupervisedTokens, group: np.ndarray, count: int) -> list[dict[str, Any]]:
    """Summarizes each group for training.json.

    Args:
        tokens: The n supervised tokens.
        group: The group of each token, int64 [n].
        count: Number of groups.

    Returns:
        For each group its number, its tokens in the training sample, and, unless it is empty, the range and mean of
        relevance and the mean position, where means are weighted by training rows.
    """
    described = []
    for number in range(count):
        inside = group == number
        rows, relevance = tokens.rows[inside], tokens.relevance[inside]
        entry: dict[str, Any] = {"group": number, "tokens": int(rows.sum())}
        if len(rows):
            entry |= {
                "relevance": [float(relevance.min()), float(relevance.max())],
                "mean_relevance": float(np.average(relevance, weights=rows)),
                "mean_position": float(np.average(tokens.position[inside], weights=rows)),
            }
        described.append(entry)
    return described
