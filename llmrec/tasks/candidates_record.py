"""The record of task candidates: metrics of a split's rankings, beside those of popularity and of a random order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset
from llmrec.evaluation.accuracy import accuracy
from llmrec.evaluation.list_accuracy import popular_order
from llmrec.manifest import damage_named
from llmrec.metrics.base import Metric
from llmrec.metrics.measured import measured, row_table
from llmrec.metrics.ranking import CandidateRanking
from llmrec.tasks.base import RANK_AGAIN, RANKING, Parts
from llmrec.tasks.catalogue_rankings import UNCONSTRAINED, evaluated_rows, row_identity
from llmrec.tasks.catalogue_record import other_data, read_titles, record_head


def candidates_record(
    parts: Parts, dataset: Dataset, split: str, config: DictConfig, metrics: Sequence[Metric]
) -> tuple[dict[str, Any], pa.Table]:
    """Computes the record of a split; arguments, result and errors as for `Task.record`.

    The popularity baseline is that of `popular_order`; random_order has the expected accuracy of a random order.
    """
    with damage_named(f"the {split} ranking", RANK_AGAIN):
        ranking = _ranking(parts, dataset, split, config)
    titles, rows = ranking.rows.candidate_titles(dataset.items), ranking.rows
    popular = np.take_along_axis(titles, popular_order(titles, dataset, split), axis=1)
    no_scores = np.zeros(popular.shape, dtype=np.float32)
    baseline = CandidateRanking(popular, no_scores, ranking.target_title, rows, dataset, split, False)
    records, columns = measured(metrics, ranking, baseline)
    size = titles.shape[1]
    # A random order puts the target at each rank equally often.
    random = accuracy(np.arange(1, size + 1), np.zeros(size), size)
    return (
        record_head(ranking) | {"candidates": size} | records | {"random_order": random},
        row_table(row_identity(rows, dataset), columns),
    )


def _ranking(parts: Parts, dataset: Dataset, split: str, config: DictConfig) -> CandidateRanking:
    """Reads the ranking of a split.

    Raises:
        InputError: If its rows or candidates are not those of the dataset.
    """
    rows = evaluated_rows(dataset, split, config)
    titles, scores, target_title = read_titles(parts[RANKING], rows, dataset, split)
    if not np.array_equal(np.sort(titles, axis=1), np.sort(rows.candidate_titles(dataset.items), axis=1)):
        raise other_data("candidates", split, dataset)
    answer = None
    if UNCONSTRAINED in parts:
        index = {title: number for number, title in enumerate(dataset.items.distinct_titles)}
        answer = np.array([index.get(title, -1) for title in parts[UNCONSTRAINED]["answer"].to_pylist()])
    return CandidateRanking(titles, scores, target_title, rows, dataset, split, False, answer=answer)
