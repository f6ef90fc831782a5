"""Reads metrics of a run by their path: from its record, from its values by user, or from its costs.

A metric path such as `fairness.popularity.mgu@5` names a value in the test part of metrics.json; paths that begin with
`cost.` name the functions in COSTS.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.evaluation.accuracy import hit, ndcg
from llmrec.evaluation.significance import Measure
from llmrec.tables.runs import Run

BY_RANK = re.compile(r"by_(title|item)\.(ndcg|hr)@(\d+)")
"""Metrics that are computed from the rank of the target in each row."""
BY_LIST = {f"by_list.ndcg@{k}": f"ndcg@{k}" for k in (1, 3, 5, 10)}
BY_LIST |= {"position.ndcg_std": "ndcg_std", "position.kendall_tau": "kendall_tau"}
"""Metric path -> the column of users_test.parquet with its values by list."""
PARITY = re.compile(r"fairness\.(popularity|relevance)\.(mgu|dgu)@(5|10)")
TOP_BIN = {"fairness.head20_share": "popularity.exposure", "fairness.top20_relevance_share": "relevance.exposure"}
"""Metric path -> the column of users_test.parquet; the metric is the share of its first bin."""
SEMANTIC, HALLUCINATED = "hallucination.semantic_share", "hallucinated"
"""Metric path and the column of users_test.parquet that it is computed from."""
FEATURES = {
    "relevance": ("fairness.relevance.", "fairness.top20_relevance_share"),
    "embeddings": ("hallucination.",),
}
"""Reference feature -> prefixes of the paths of the metrics that need it."""
PARTS = ("by_title", "by_item", "by_list", "fairness", "hallucination", "position", "unconstrained")
"""Parts of a split's record that a metric path may begin with."""


def known(metric_path: str) -> bool:
    """Whether a metric path, such as fairness.popularity.mgu@5 or cost.peak_memory, begins with a known part."""
    return metric_path in COSTS or metric_path.split(".")[0] in PARTS


def has_users(metric_path: str) -> bool:
    """Whether the metric is a mean over rows or lists, so that recommenders can be compared pair by pair."""
    return metric_path in BY_LIST or BY_RANK.fullmatch(metric_path) is not None


def has_sums(metric_path: str) -> bool:
    """Whether the metric is a function of sums over rows, so that users can be resampled: see `Sums`."""
    return metric_path in (*TOP_BIN, SEMANTIC) or PARITY.fullmatch(metric_path) is not None


def feature(metric_path: str) -> str | None:
    """Returns the reference feature of titles that the metric needs, a key of FEATURES, or None."""
    return next((name for name, prefixes in FEATURES.items() if metric_path.startswith(prefixes)), None)


def value(run: Run, metric_path: str) -> float | None:
    """Returns a metric of the test split of a run, or None if it was not measured."""
    if metric_path in COSTS:
        return COSTS[metric_path](run)
    found: Any = run.test
    for key in metric_path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return None if found is None else float(found)


def values(users: pa.Table, metric_path: str) -> np.ndarray:
    """Returns a metric by row or list.

    Args:
        users: The table in users_test.parquet.
        metric_path: A path for which `has_users` holds.

    Returns:
        float64 `[rows]` or `[lists]`.
    """
    if metric_path in BY_LIST:
        return users[BY_LIST[metric_path]].to_numpy()
    by, kind, cutoff = _path_groups(BY_RANK, metric_path)
    ranks = users["rank" if by == "title" else "item_rank"].to_numpy()
    return {"ndcg": ndcg, "hr": hit}[kind](ranks, int(cutoff)).astype(np.float64)


@dataclass(frozen=True)
class Sums:
    """A metric as a function of sums over rows.

    Attributes:
        rows: float64 `[rows, parts]`, the summands.
        measure: Computes the metric from the sums, `[..., parts]` to `[...]`.
    """

    rows: np.ndarray
    measure: Measure


def sums(users: pa.Table, metric_path: str) -> Sums:
    """Returns a metric as a function of sums.

    Args:
        users: The table in users_test.parquet; it must have the columns that the metric needs.
        metric_path: A path for which `has_sums` holds.
    """
    if metric_path == SEMANTIC:
        is_wrong, is_hallucinated = users[HALLUCINATED].is_valid(), users[HALLUCINATED].fill_null(False)
        return Sums(np.stack([is_hallucinated.to_numpy(), is_wrong.to_numpy()], axis=1).astype(np.float64), _ratio)
    if metric_path in TOP_BIN:
        exposure = _column_matrix(users, TOP_BIN[metric_path])
        return Sums(np.stack([exposure[:, 0], exposure.sum(axis=1)], axis=1), _ratio)
    grouping, kind, cutoff = _path_groups(PARITY, metric_path)
    both = [_column_matrix(users, f"{grouping}.{part}") for part in (f"exposure@{cutoff}", "history")]
    return Sums(np.concatenate(both, axis=1), {"mgu": _mgu, "dgu": _dgu}[kind])


def _path_groups(pattern: re.Pattern[str], metric_path: str) -> tuple[str, ...]:
    """Returns the groups of the pattern in a metric path that matches it."""
    match = pattern.fullmatch(metric_path)
    assert match is not None
    return match.groups()


def _column_matrix(users: pa.Table, column: str) -> np.ndarray:
    """Converts a column of lists of equal length to float64 `[rows, entries]`."""
    return np.stack(users[column].to_numpy()).astype(np.float64)


def _ratio(parts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        found: np.ndarray = parts[..., 0] / parts[..., 1]
    return found


def _mgu(parts: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.abs(_unfairness(parts)).mean(axis=-1)
    return found


def _dgu(parts: np.ndarray) -> np.ndarray:
    unfairness = _unfairness(parts)
    found: np.ndarray = unfairness.max(axis=-1) - unfairness.min(axis=-1)
    return found


def _unfairness(parts: np.ndarray) -> np.ndarray:
    """Returns by group the share of exposure minus the share of the histories.

    Args:
        parts: float64 `[..., 2 * groups]`, exposure and then histories.
    """
    exposure, histories = np.split(parts, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = exposure / exposure.sum(axis=-1, keepdims=True) - histories / histories.sum(
            -1, keepdims=True
        )
    return found


def _seconds_per_epoch(run: Run) -> float | None:
    epochs = run.training.get("timed_epochs")
    return run.training["seconds"]["training"] / epochs if epochs else None


def _peak_memory(run: Run) -> float | None:
    """Returns peak memory in GiB: of the process, or on a GPU what torch allocated there."""
    points = run.curves.get("train/memory_gib")
    return None if points is None else max(gib for _, gib in points)


def _users_per_second(run: Run) -> float:
    return float(run.test["users"] / run.record["seconds"]["test"])


def _lists_per_second(run: Run) -> float:
    return float(run.test["lists"] / run.record["seconds"]["test, one ranking a list"])


COSTS: dict[str, Callable[[Run], float | None]] = {
    "cost.seconds_per_epoch": _seconds_per_epoch,
    "cost.peak_memory": _peak_memory,
    "cost.users_per_second": _users_per_second,
    "cost.lists_per_second": _lists_per_second,
}
