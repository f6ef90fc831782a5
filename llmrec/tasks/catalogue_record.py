"""The record of task next_item: metrics of a split's rankings, beside those of the popularity baseline."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import fitted_rows
from llmrec.datasets.leakage import split_by
from llmrec.datasets.popularity import recommend_popular
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.few_users import user_counts
from llmrec.manifest import damage_named
from llmrec.metrics.base import Metric
from llmrec.metrics.measured import measured, row_table
from llmrec.metrics.ranking import CatalogueRanking
from llmrec.tasks.base import RANK_AGAIN, RANKING, Parts
from llmrec.tasks.catalogue_rankings import UNCONSTRAINED, evaluated_rows, row_identity

SEARCH_FIGURES = ("certified", "prefixes", "model_calls")
"""Details of an exact search whose means a record has; see `ExactDecoder`."""


def catalogue_record(
    parts: Parts,
    dataset: Dataset,
    split: str,
    config: DictConfig,
    features: ReferenceFeatures,
    metrics: Sequence[Metric],
) -> tuple[dict[str, Any], pa.Table]:
    """Computes the record of a split; arguments, result and errors as for `Task.record`.

    The popularity baseline counts the rows that baselines are fitted to for the split (`fitted_rows`). Popularity in
    slices and fairness metrics is that in dataset.train, the rows that the language models are trained on.
    """
    with damage_named(f"the {split} ranking", RANK_AGAIN):
        ranking = _ranking(parts, dataset, split, config, features)
    length = ranking.titles.shape[1]
    counted = fitted_rows(dataset, "full", split)
    popular = recommend_popular(ranking.rows, counted, dataset.items, length, ranking.exclude_history)
    baseline = CatalogueRanking(
        popular, np.zeros(popular.shape, dtype=np.float32), dataset.items.title_of[ranking.rows.target],
        ranking.rows, dataset, split, ranking.exclude_history, features,
    )  # fmt: skip
    records, columns = measured(metrics, ranking, baseline)
    head = record_head(ranking) | {"list_length": length, **_search_figures(parts[RANKING])}
    best = {} if dataset.best_ndcg10 is None else {"best_ndcg10": dataset.best_ndcg10[split]}
    return head | records | best, row_table(row_identity(ranking.rows, dataset), columns)


def record_head(ranking: CatalogueRanking) -> dict[str, Any]:
    """Returns what a record begins with: the dataset, and the numbers of rows and users."""
    dataset = ranking.dataset
    return {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "split_by": split_by(dataset.report),
        "rows": len(ranking.rows),
        **user_counts(ranking.users),
    }


def _ranking(
    parts: Parts, dataset: Dataset, split: str, config: DictConfig, features: ReferenceFeatures
) -> CatalogueRanking:
    """Reads the ranking of a split.

    Raises:
        InputError: If its rows or titles are not those of the dataset.
    """
    rows = evaluated_rows(dataset, split, config)
    read = read_titles(parts[RANKING], rows, dataset, split)
    excludes = parts[RANKING]["exclude_history"][0].as_py()
    is_title = parts[UNCONSTRAINED]["is_title"].to_numpy() if UNCONSTRAINED in parts else None
    return CatalogueRanking(*read, rows, dataset, split, excludes, features, is_title)


def read_titles(table: pa.Table, rows: Rows, dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads ranked titles, their scores and the titles that count as hits; see `CatalogueRanking`.

    Args:
        table: The ranking of a split.
        rows: The rows that it should be of.
        dataset: The dataset.
        split: "valid" or "test".

    Raises:
        InputError: If rows or titles are not those of the dataset.
    """
    identity = row_identity(rows, dataset)
    if not all(table[name].combine_chunks().equals(column) for name, column in identity.items()):
        raise other_data("rows", split, dataset)
    index = {title: number for number, title in enumerate(dataset.items.distinct_titles)}
    ranked, targets = table["titles"].to_pylist(), table["target_title"].to_pylist()
    if not index.keys() >= {*targets, *chain.from_iterable(ranked)}:
        raise other_data("titles", split, dataset)
    titles = np.full((len(rows), table["list_length"][0].as_py()), -1, dtype=np.int32)
    scores = np.full(titles.shape, -np.inf, dtype=np.float32)
    for row, (names, values) in enumerate(zip(ranked, table["scores"].to_pylist(), strict=True)):
        titles[row, : len(names)] = [index[name] for name in names]
        scores[row, : len(names)] = values
    return titles, scores, np.array([index[title] for title in targets])


def _search_figures(table: pa.Table) -> dict[str, Any]:
    """Returns the share of rows whose list is certified to be exact and the mean cost, if the search was exact."""
    if "certified" not in table.column_names:
        return {}
    return {"search": {name: float(table[name].to_numpy().mean()) for name in SEARCH_FIGURES}}


def other_data(what: str, split: str, dataset: Dataset) -> InputError:
    """Returns the error of a ranking of other data than the dataset has; `what` names what differs."""
    return InputError(
        f"the {split} ranking is of other {what} than {dataset.name} has now. Point LLMREC_DATA (or paths.data) to the "
        "data of the ranking, or rank again"
    )
