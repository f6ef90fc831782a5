"""The record of an evaluation: metrics.json and, for each split, a Parquet file with one row per evaluated row."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.atomic import atomic_file
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import fitted_rows
from llmrec.datasets.popularity import recommend_popular
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import accuracy, item_ranks, title_ranks
from llmrec.evaluation.fairness import fairness, row_counts
from llmrec.evaluation.hallucination import Top1Titles, judge_top1_titles
from llmrec.evaluation.reference_features import ReferenceFeatures
from llmrec.evaluation.slices import by_slice, slices

METRICS_FILE = "metrics.json"
SPLIT_NAMES = {"valid": "validation", "test": "test"}


def split_record(
    recommended: np.ndarray,
    scores: np.ndarray,
    rows: Rows,
    dataset: Dataset,
    split: str,
    exclude_history: bool,
    target_title: np.ndarray,
    features: ReferenceFeatures,
) -> tuple[dict[str, Any], pa.Table]:
    """Computes the metrics of one split and the table of its rows.

    The popularity baseline counts the rows that baselines are fitted to for this split (`fitted_rows`). Popularity in
    slices and fairness metrics is that in dataset.train, the rows that the language models are trained on.

    Args:
        recommended: Distinct titles, best first, int32 [users, K]; -1 = no more.
        scores: float [users, K].
        rows: The evaluated rows: all rows of the split, or a sample.
        dataset: The dataset.
        split: "valid" or "test".
        exclude_history: Whether titles of the history were excluded from the lists; if so, the popularity baseline
            excludes them as well.
        target_title: The title that counts as a hit, int [users]. It can differ from the target's own title, because a
            tokenizer can map several titles to the same tokens.
        features: The reference features of the titles, for `fairness` and `judge_top1_titles`.

    Returns:
        The metrics, and the table that `_users_table` describes.

    Raises:
        InputError: If the split has no rows, or features.relevance belongs to another catalogue.
    """
    if len(rows) == 0:
        raise InputError(f"the {split} split of {dataset.name} has no rows to evaluate. Add rows, or skip the split.")
    list_length = recommended.shape[1]
    counted = fitted_rows(dataset, "full", split)
    popular = recommend_popular(rows, counted, dataset.items, list_length, exclude_history)
    own_title = dataset.items.title_of[rows.target]
    ranks = title_ranks(recommended, target_title)
    top1 = _top1_titles(recommended, rows, dataset, target_title, features)
    popular_top1 = _top1_titles(popular, rows, dataset, own_title, features)
    metrics: dict[str, Any] = {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "users": len(rows),
        "list_length": list_length,
        **_accuracies(recommended, rows, dataset.items, target_title),
        **_harms(recommended, rows, dataset, features, top1),
        "slices": by_slice(ranks, slices(rows, dataset.train, dataset.items), list_length),
        "popularity_baseline": {
            **_accuracies(popular, rows, dataset.items, own_title),
            **_harms(popular, rows, dataset, features, popular_top1),
        },
    }
    if dataset.best_ndcg10 is not None:
        metrics["best_ndcg10"] = dataset.best_ndcg10[split]
    row_columns = _row_columns(recommended, rows, dataset, features, top1)
    return metrics, _users_table(recommended, scores, rows, dataset.items, ranks, row_columns)


def write_record(folder: Path, metrics: dict[str, Any], tables: dict[str, pa.Table]) -> None:
    """Writes users_<split>.parquet for each table, and metrics.json. If a write fails, no file is left.

    Raises:
        InputError: If the folder is not writable or the disk is full.
    """
    with ExitStack() as files:
        # The stack closes in reverse order, so metrics.json is moved into place last. Its presence marks the evaluation
        # as finished.
        metrics_file = files.enter_context(atomic_file(folder / METRICS_FILE))
        metrics_file.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for split, table in tables.items():
            pq.write_table(table, files.enter_context(atomic_file(folder / f"users_{split}.parquet")))


def read_metrics(folder: Path) -> dict[str, Any]:
    """Reads the metrics of a finished evaluation.

    Raises:
        InputError: If the folder has no metrics or the file is damaged.
    """
    path = folder / METRICS_FILE
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no finished evaluation in {folder}: {METRICS_FILE} is missing. Run the evaluation again."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}). Remove it and run the evaluation again.") from error
    return metrics


def _accuracies(
    recommended: np.ndarray, rows: Rows, items: Items, target_title: np.ndarray
) -> dict[str, dict[str, float]]:
    list_length = recommended.shape[1]
    return {
        "by_title": accuracy(title_ranks(recommended, target_title), list_length),
        "by_item": accuracy(item_ranks(recommended, rows.target, items), list_length),
    }


def _top1_titles(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, target_title: np.ndarray, features: ReferenceFeatures
) -> Top1Titles | None:
    """Returns None if the titles were not embedded."""
    if features.embeddings is None:
        return None
    return judge_top1_titles(recommended, target_title, rows, dataset.items, features.embeddings)


def _harms(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, features: ReferenceFeatures, top1: Top1Titles | None
) -> dict[str, Any]:
    """Returns "fairness" and, if titles were embedded, "hallucination"."""
    harms = {"fairness": fairness(recommended, rows, dataset.train, dataset.items, features.relevance)}
    return harms if top1 is None else harms | {"hallucination": top1.metrics()}


def _row_columns(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, features: ReferenceFeatures, top1: Top1Titles | None
) -> dict[str, pa.Array]:
    """Returns the per-row columns behind the harm metrics: those of `row_counts`, and "hallucinated"."""
    counts = row_counts(recommended, rows, dataset.train, dataset.items, features.relevance)
    columns = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(count.astype(np.float32).ravel()), count.shape[1])
        for name, count in counts.items()
    }
    if top1 is not None:
        columns["hallucinated"] = pa.array(top1.hallucinated, mask=~top1.wrong)
    return columns


def _users_table(
    recommended: np.ndarray,
    scores: np.ndarray,
    rows: Rows,
    items: Items,
    ranks: np.ndarray,
    row_columns: dict[str, pa.Array],
) -> pa.Table:
    """Builds a table with one row per evaluated row, in the same order.

    Columns: row, its index; user; target, item id; target_title; rank, by title, 0 = absent; item_rank, by item, 0 =
    absent; titles, the recommended titles, best first; scores, of these titles; those of `row_counts`; and
    hallucinated, whether a wrong top-1 title is a semantic hallucination, null if it is not wrong.
    """
    distinct_titles = pa.array(items.distinct_titles, type=pa.string())
    is_title = recommended >= 0
    list_offsets = np.concatenate([[0], np.cumsum(is_title.sum(axis=1))]).astype(np.int32)
    return pa.table(
        {
            "row": np.arange(len(rows)),
            "user": pa.array(rows.user.tolist(), type=pa.string()),
            "target": pa.array(items.ids, type=pa.string()).take(pa.array(rows.target)),
            "target_title": distinct_titles.take(pa.array(items.title_of[rows.target])),
            "rank": ranks,
            "item_rank": item_ranks(recommended, rows.target, items),
            "titles": pa.ListArray.from_arrays(list_offsets, distinct_titles.take(pa.array(recommended[is_title]))),
            "scores": pa.ListArray.from_arrays(list_offsets, pa.array(scores[is_title].astype(np.float32))),
            **row_columns,
        }
    )
