"""The record of task rerank: metrics of a split's rankings, beside those of the popularity baseline and of chance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage import split_by
from llmrec.errors import InputError
from llmrec.evaluation.few_users import user_counts
from llmrec.evaluation.list_accuracy import CUTOFFS, popular_order, random_ndcg
from llmrec.manifest import damage_named
from llmrec.metrics.base import Metric
from llmrec.metrics.measured import measured, row_table
from llmrec.metrics.ranking import ListRanking
from llmrec.tasks.base import RANK_AGAIN, RANKING, Parts
from llmrec.tasks.list_rankings import ORDERS, UNCONSTRAINED, evaluated_lists, list_identity, ranked_candidates


def list_record(
    parts: Parts, dataset: Dataset, split: str, config: DictConfig, metrics: Sequence[Metric]
) -> tuple[dict[str, Any], pa.Table]:
    """Computes the record of a split; arguments, result and errors as for `Task.record`.

    The popularity baseline is that of `popular_order`; random_order is the expected NDCG of a random order.
    """
    with damage_named(f"the {split} ranking", RANK_AGAIN):
        ranking = _ranking(parts, dataset, split, config)
    lists = ranking.lists
    popular = popular_order(dataset.items.title_of[lists.candidates], dataset, split)
    baseline = ListRanking(popular[None], lists, dataset, split)
    records, columns = measured(metrics, ranking, baseline)
    head = {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "split_by": split_by(dataset.report),
        "lists": len(lists),
        **user_counts(ranking.users),
        "candidates": lists.candidates.shape[1],
    }
    random = {f"ndcg@{k}": float(random_ndcg(lists.gains, k).mean()) for k in CUTOFFS}
    return head | records | {"random_order": random}, row_table(list_identity(lists), columns)


def _ranking(parts: Parts, dataset: Dataset, split: str, config: DictConfig) -> ListRanking:
    """Reads the rankings of a split.

    Raises:
        InputError: If their lists are not those of the dataset.
    """
    lists, table = evaluated_lists(dataset, split, config), parts[RANKING]
    order = _read(table["order"])
    same_number = len(order) == len(lists)
    expected = list_identity(lists) | ranked_candidates(order, lists, dataset) if same_number else {}
    if not same_number or not all(table[name].combine_chunks().equals(column) for name, column in expected.items()):
        raise InputError(
            f"the {split} ranking is of other lists than {dataset.name} has now. Point LLMREC_DATA (or paths.data) to "
            "the data of the ranking, or rank again"
        )
    others = next((part for name, part in parts.items() if name.startswith(ORDERS)), None)
    columns = [] if others is None else [name for name in others.column_names if name.startswith("order_")]
    orders = [order] if others is None else [order, *(_read(others[name]) for name in columns)]
    if UNCONSTRAINED not in parts:
        return ListRanking(np.stack(orders), lists, dataset, split)
    free = parts[UNCONSTRAINED]
    return ListRanking(np.stack(orders), lists, dataset, split, _read(free["order"]), free["is_invalid"].to_numpy())


def _read(column: pa.ChunkedArray) -> np.ndarray:
    """Reads rankings from a column, int64 [lists, m]."""
    return np.stack(column.to_numpy()).astype(np.int64)
