"""Where a table's figure comes from: a place in the record of a cell, a value for each of its users, or its cost."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.evaluation.accuracy import hit, ndcg
from llmrec.tables.runs import Run

BY_RANK = re.compile(r"by_(title|item)\.(ndcg|hr)@(\d+)")
"""Figures that follow from the rank of each row."""
BY_LIST = {"by_list.ndcg@10": "ndcg@10", "position.ndcg_std": "ndcg_std", "position.kendall_tau": "kendall_tau"}
"""Place -> the column of users_test.parquet that has it by list."""
PARTS = ("by_title", "by_item", "by_list", "fairness", "hallucination", "position", "unconstrained")
"""Parts of a split's record that a place may lie in."""


def known(place: str) -> bool:
    """Whether a place, such as fairness.popularity.mgu@5 or cost.peak_memory, lies where figures can be."""
    return place in COSTS or place.split(".")[0] in PARTS


def has_users(place: str) -> bool:
    """Whether the figure is a mean over users or lists, so that two recommenders can be compared pair by pair."""
    return place in BY_LIST or BY_RANK.fullmatch(place) is not None


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
    by, kind, cutoff = BY_RANK.fullmatch(place).groups()  # type: ignore[union-attr]
    ranks = users["rank" if by == "title" else "item_rank"].to_numpy()
    return {"ndcg": ndcg, "hr": hit}[kind](ranks, int(cutoff)).astype(np.float64)


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
