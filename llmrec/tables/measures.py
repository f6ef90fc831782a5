"""Where a table's figure comes from: a place in a cell's record, its users' values or their sums, or what it cost."""

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
"""Figures that follow from the rank of each row."""
BY_LIST = {f"by_list.ndcg@{k}": f"ndcg@{k}" for k in (1, 3, 5, 10)}
BY_LIST |= {"position.ndcg_std": "ndcg_std", "position.kendall_tau": "kendall_tau"}
"""Place -> the column of users_test.parquet that has it by list."""
PARITY = re.compile(r"fairness\.(popularity|relevance)\.(mgu|dgu)@(5|10)")
TOP_BIN = {"fairness.head20_share": "popularity.slots", "fairness.top20_relevance_share": "relevance.slots"}
"""Place -> the column of users_test.parquet of which the first bin's share is meant."""
SEMANTIC, HALLUCINATED = "hallucination.semantic_share", "hallucinated"
"""Place and column."""
FEATURES = {
    "relevance": ("fairness.relevance.", "fairness.top20_relevance_share"),
    "embeddings": ("hallucination.",),
}
"""Reference feature -> what the places begin with whose figures are made of it."""
PARTS = ("by_title", "by_item", "by_list", "fairness", "hallucination", "position", "unconstrained")
"""Parts of a split's record that a place may lie in."""


def known(place: str) -> bool:
    """Whether a place, such as fairness.popularity.mgu@5 or cost.peak_memory, lies where figures can be."""
    return place in COSTS or place.split(".")[0] in PARTS


def has_users(place: str) -> bool:
    """Whether the figure is a mean over users or lists, so that two recommenders can be compared pair by pair."""
    return place in BY_LIST or BY_RANK.fullmatch(place) is not None


def has_sums(place: str) -> bool:
    """Whether the figure follows from sums over users, so that users can be drawn anew: see `Sums`."""
    return place in (*TOP_BIN, SEMANTIC) or PARITY.fullmatch(place) is not None


def feature(place: str) -> str | None:
    """The reference feature of titles that a figure is made of, a key of FEATURES; None where it is made of none."""
    return next((name for name, places in FEATURES.items() if place.startswith(places)), None)


def value(run: Run, place: str) -> float | None:
    """The figure of a run's test split; None where it was not measured."""
    if place in COSTS:
        return COSTS[place](run)
    found: Any = run.test
    for key in place.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return None if found is None else float(found)


def values(users: pa.Table, place: str) -> np.ndarray:
    """float64 [rows or lists]: the figure of each, for a place that `has_users`; users: of users_test.parquet."""
    if place in BY_LIST:
        return users[BY_LIST[place]].to_numpy()
    by, kind, cutoff = _named(BY_RANK, place)
    ranks = users["rank" if by == "title" else "item_rank"].to_numpy()
    return {"ndcg": ndcg, "hr": hit}[kind](ranks, int(cutoff)).astype(np.float64)


@dataclass(frozen=True)
class Sums:
    """A figure as a function of sums: rows: float64 [rows, parts]; measure: of their sums, [..., parts] -> [...]."""

    rows: np.ndarray
    measure: Measure


def sums(users: pa.Table, place: str) -> Sums:
    """For a place that `has_sums`; users: of users_test.parquet, which has what the place is measured of."""
    if place == SEMANTIC:
        wrong, found = users[HALLUCINATED].is_valid(), users[HALLUCINATED].fill_null(False)
        return Sums(np.stack([found.to_numpy(), wrong.to_numpy()], axis=1).astype(np.float64), _ratio)
    if place in TOP_BIN:
        slots = _matrix(users, TOP_BIN[place])
        return Sums(np.stack([slots[:, 0], slots.sum(axis=1)], axis=1), _ratio)
    grouping, kind, cutoff = _named(PARITY, place)
    both = [_matrix(users, f"{grouping}.{part}") for part in (f"slots@{cutoff}", "history")]
    return Sums(np.concatenate(both, axis=1), {"mgu": _mgu, "dgu": _dgu}[kind])


def _named(pattern: re.Pattern[str], place: str) -> tuple[str, ...]:
    """What a place that is of the pattern names."""
    match = pattern.fullmatch(place)
    assert match is not None
    return match.groups()


def _matrix(users: pa.Table, column: str) -> np.ndarray:
    """float64 [rows, entries] of a column of lists of one length."""
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
    """By group the share of the slots less that of the histories, the two halves of `parts`."""
    slots, histories = np.split(parts, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = slots / slots.sum(axis=-1, keepdims=True) - histories / histories.sum(-1, keepdims=True)
    return found


def _seconds_per_epoch(run: Run) -> float | None:
    epochs = run.training.get("timed_epochs")
    return run.training["seconds"]["training"] / epochs if epochs else None


def _peak_memory(run: Run) -> float | None:
    """GiB: of the process, on a GPU of what torch allocated there."""
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
