"""Rankings of task rerank as tables: ranked lists, lists shown in other orders, and texts without constraints."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, draw
from llmrec.datasets.lists import Lists
from llmrec.tasks.base import RANKING, Progress
from llmrec.tasks.list_ranker import rank_reordered

UNCONSTRAINED, ORDERS = "unconstrained", "orders"
"""The part with the texts that the model generates without constraints, and that with the rankings of candidates shown
in random orders. The name of the latter ends in the number of orders."""


def ranking_table(
    part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, progress: Progress
) -> pa.Table:
    """Ranks the lists of a split; arguments as for `Task.rank`.

    Returns:
        The columns of `list_identity` and, for the ranking, those of `ranked_candidates` and `order`, positions in the
        stored order, best first; for other orders `order_2`, `order_3`, ...; for generated texts `text`, `order` and
        `is_invalid`.
    """
    lists = evaluated_lists(dataset, split, config)
    identity = list_identity(lists)
    if part == RANKING:
        order = ranker.rank(lists, split, 1, progress)
        return pa.table({**identity, **ranked_candidates(order, lists, dataset), "order": _positions(order)})
    if part == UNCONSTRAINED:
        free = ranker.unconstrained_rankings(lists, config.evaluation.sample_seed, progress)
        found = {"text": pa.array(free.texts), "order": _positions(free.order), "is_invalid": free.is_invalid}
        return pa.table({**identity, **found})
    generator = np.random.default_rng([config.evaluation.sample_seed, len(lists)])
    shown = generator.random((config.evaluation.orders - 1, *lists.candidates.shape)).argsort(axis=2)
    orders = {
        f"order_{n}": _positions(
            rank_reordered(lists, order, partial(ranker.rank, split=split, number=n, progress=progress))
        )
        for n, order in enumerate(shown, 2)
    }
    return pa.table({**identity, **orders})


def evaluated_lists(dataset: Dataset, split: str, config: DictConfig) -> Lists:
    """Returns the lists of a split that are evaluated."""
    lists = dataset.lists[split]
    return lists.take(draw(len(lists), config.evaluation.users, config.evaluation.sample_seed))


def list_identity(lists: Lists) -> dict[str, pa.Array]:
    """Returns the columns that identify a list: its number in the sample, and its user."""
    return {"list": pa.array(np.arange(len(lists))), "user": pa.array(lists.rows.user.tolist(), pa.string())}


def _positions(order: np.ndarray) -> pa.Array:
    """Returns rankings, int [lists, m], as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(order.astype(np.int32).ravel()), order.shape[1])


def ranked_candidates(order: np.ndarray, lists: Lists, dataset: Dataset) -> dict[str, pa.Array]:
    """Returns the IDs and the relevance of each list's candidates in ranked order."""
    ids, size = pa.array(dataset.items.ids, pa.string()), order.shape[1]
    ranked, relevance = (np.take_along_axis(part, order, 1).ravel() for part in (lists.candidates, lists.relevance))
    return {
        "ranked": pa.FixedSizeListArray.from_arrays(ids.take(pa.array(ranked)), size),
        "relevance": pa.FixedSizeListArray.from_arrays(pa.array(relevance), size),
    }
