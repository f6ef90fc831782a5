"""What an evaluation leaves: metrics.json and, for each split, one Parquet row per user."""

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
from llmrec.evaluation.hallucination import FirstTitles, judge_first_titles
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
    """The metrics of one split and its table of users.

    recommended: int32 [users, K], distinct-title indices best first, -1 = no more; scores: float [users, K]; rows: the
    evaluated rows, all of the split ("valid" or "test") or a sample; exclude_history: whether titles of the history
    were left out of the lists, as they then are for the popularity floor; target_title: int [users], the title that
    counts as a hit (a tokenizer may make several titles one); features: of the titles, for `fairness` and
    `judge_first_titles`. Table: see `_users_table`.

    The popularity floor counts the rows that a baseline is fitted to for this split (`fitted_rows`). Slices and
    fairness describe what the language models could learn from: their popularity is that in dataset.train.
    Raises InputError when the split has no rows, naming it, or features.relevance is not of this catalogue.
    """
    if len(rows) == 0:
        raise InputError(f"the {split} split of {dataset.name} has no rows to evaluate: give it some or skip it")
    list_length = recommended.shape[1]
    counted = fitted_rows(dataset, "full", split)
    floor = recommend_popular(rows, counted, dataset.items, list_length, exclude_history)
    own_title = dataset.items.title_of[rows.target]
    ranks = title_ranks(recommended, target_title)
    first = _first_titles(recommended, rows, dataset, target_title, features)
    floor_first = _first_titles(floor, rows, dataset, own_title, features)
    metrics: dict[str, Any] = {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "users": len(rows),
        "list_length": list_length,
        **_accuracies(recommended, rows, dataset.items, target_title),
        **_harms(recommended, rows, dataset, features, first),
        "slices": by_slice(ranks, slices(rows, dataset.train, dataset.items), list_length),
        "popularity_floor": {
            **_accuracies(floor, rows, dataset.items, own_title),
            **_harms(floor, rows, dataset, features, floor_first),
        },
    }
    if dataset.best_ndcg10 is not None:
        metrics["best_ndcg10"] = dataset.best_ndcg10[split]
    by_row = _by_row(recommended, rows, dataset, features, first)
    return metrics, _users_table(recommended, scores, rows, dataset.items, ranks, by_row)


def write_record(folder: Path, metrics: dict[str, Any], tables: dict[str, pa.Table]) -> None:
    """Writes users_<split>.parquet for each table and metrics.json: all of them, or none when a write fails.

    Raises InputError when the folder cannot be written or the disk is full.
    """
    with ExitStack() as files:
        # The stack closes in reverse order: metrics.json takes its place last, since its presence marks the
        # evaluation as finished.
        metrics_file = files.enter_context(atomic_file(folder / METRICS_FILE))
        metrics_file.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for split, table in tables.items():
            pq.write_table(table, files.enter_context(atomic_file(folder / f"users_{split}.parquet")))


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a finished evaluation.

    Raises InputError when the folder holds none or the file is damaged.
    """
    path = folder / METRICS_FILE
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no finished evaluation in {folder}: {METRICS_FILE} is missing; run it again") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): remove it and run the evaluation again") from error
    return metrics


def _accuracies(
    recommended: np.ndarray, rows: Rows, items: Items, target_title: np.ndarray
) -> dict[str, dict[str, float]]:
    list_length = recommended.shape[1]
    return {
        "by_title": accuracy(title_ranks(recommended, target_title), list_length),
        "by_item": accuracy(item_ranks(recommended, rows.target, items), list_length),
    }


def _first_titles(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, target_title: np.ndarray, features: ReferenceFeatures
) -> FirstTitles | None:
    """None where the titles were not embedded."""
    if features.embeddings is None:
        return None
    return judge_first_titles(recommended, target_title, rows, dataset.items, features.embeddings)


def _harms(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, features: ReferenceFeatures, first: FirstTitles | None
) -> dict[str, Any]:
    """`fairness` and, where there are first titles, "hallucination"."""
    harms = {"fairness": fairness(recommended, rows, dataset.train, dataset.items, features.relevance)}
    return harms if first is None else harms | {"hallucination": first.metrics()}


def _by_row(
    recommended: np.ndarray, rows: Rows, dataset: Dataset, features: ReferenceFeatures, first: FirstTitles | None
) -> dict[str, pa.Array]:
    """What the harms are made of, as columns: those of `row_counts`, and "hallucinated"."""
    counts = row_counts(recommended, rows, dataset.train, dataset.items, features.relevance)
    columns = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(count.astype(np.float32).ravel()), count.shape[1])
        for name, count in counts.items()
    }
    if first is not None:
        columns["hallucinated"] = pa.array(first.hallucinated, mask=~first.wrong)
    return columns


def _users_table(
    recommended: np.ndarray,
    scores: np.ndarray,
    rows: Rows,
    items: Items,
    ranks: np.ndarray,
    by_row: dict[str, pa.Array],
) -> pa.Table:
    """One row per evaluated row, in their order.

    row: its position; user; target: item id; target_title; rank: by title, 0 = absent; item_rank: by item;
    titles: the recommended titles, best first; scores: their scores. by_row: more columns: those of `row_counts`, and
    hallucinated: whether a wrong first title only sounds right, null where it is not wrong.
    """
    distinct_titles = pa.array(items.distinct_titles, type=pa.string())
    given = recommended >= 0
    list_offsets = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int32)
    return pa.table(
        {
            "row": np.arange(len(rows)),
            "user": pa.array(rows.user.tolist(), type=pa.string()),
            "target": pa.array(items.ids, type=pa.string()).take(pa.array(rows.target)),
            "target_title": distinct_titles.take(pa.array(items.title_of[rows.target])),
            "rank": ranks,
            "item_rank": item_ranks(recommended, rows.target, items),
            "titles": pa.ListArray.from_arrays(list_offsets, distinct_titles.take(pa.array(recommended[given]))),
            "scores": pa.ListArray.from_arrays(list_offsets, pa.array(scores[given].astype(np.float32))),
            **by_row,
        }
    )
