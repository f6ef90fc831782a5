"""Groups of supervised tokens: equal-frequency bins of relevance, of position, or at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from llmrec.datasets.data_module import NextItemData
from llmrec.errors import InputError

Kind = Literal["relevance", "random", "position"]


@dataclass(frozen=True)
class SupervisedTokens:
    """The edges of the trie that the targets of the training sample take where they are supervised, once each.

    edge: int64 [n]; rows: int64 [n], training rows that take it; position: int64 [n], its place in the response, 0 the
    first token; relevance: float64 [n], its probability after the history-free prompt.
    """

    edge: np.ndarray
    rows: np.ndarray
    position: np.ndarray
    relevance: np.ndarray


def supervised_tokens(
    data: NextItemData, titles: np.ndarray, log_probability: Sequence[np.ndarray]
) -> SupervisedTokens:
    """What the sample's targets supervise; titles: int [m], distinct; log_probability: of each one's tokens.

    The supervised positions are those that data.setup_training asked the objective for.
    """
    counts = np.bincount(data.sample_titles, minlength=len(data.titles))[titles]
    starts, lengths = data.titles.offsets[titles], np.diff(data.titles.offsets)[titles]
    position = np.concatenate([np.arange(length) for length in lengths])
    flat = np.repeat(starts, lengths) + position
    kept = data.responses.supervised[flat]
    flat, position = flat[kept], position[kept]
    edges = data.trie.edges(torch.from_numpy(data.path[flat]), torch.from_numpy(data.titles.tokens[flat])).numpy()
    # Once each: the same edge scored in two batches differs in the last digit, and equal relevances are one group's.
    edge, first, inverse = np.unique(edges, return_index=True, return_inverse=True)
    rows = np.bincount(inverse, weights=np.repeat(counts, lengths)[kept]).astype(np.int64)
    relevance = np.exp(np.concatenate(log_probability)[kept][first].astype(np.float64))
    return SupervisedTokens(edge, rows, position[first], relevance)


def divide(tokens: SupervisedTokens, kind: Kind, count: int, seed: int) -> np.ndarray:
    """int64 [n]: the group of each token, 0 the lowest value. Raises InputError for more groups than values.

    kind: what the tokens are ordered by; "random" and "position" are the controls. Our reading of arXiv 2510.10978.
    """
    values = {
        "relevance": tokens.relevance,
        "position": tokens.position,
        "random": np.random.default_rng(seed).random(len(tokens.edge)),
    }[kind]
    distinct = len(np.unique(values))
    if count > distinct:
        raise InputError(
            f"objective.group_count={count}, but the supervised tokens of the training sample have only {distinct} "
            f"different values of {kind}: lower objective.group_count, or take more rows (dataset.train_samples)"
        )
    return equal_frequency(values, tokens.rows, count)


def equal_frequency(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """int64 [n]: which of `count` bins of equal weight each value falls into, 0 the lowest.

    Ties: equal values are never divided; they go together where the middle of their weight falls. A value that alone
    outweighs a bin therefore leaves a neighbouring bin empty.
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    weight = np.bincount(inverse, weights=weights, minlength=len(distinct))
    middle = np.cumsum(weight) - weight / 2
    bins = np.minimum(count * middle / weight.sum(), count - 1).astype(np.int64)
    return bins[inverse]


def describe(tokens: SupervisedTokens, group: np.ndarray, count: int) -> list[dict[str, Any]]:
    """For the record, of each group: tokens of the training sample, range and mean of relevance, mean position."""
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
