"""Stores the candidate lists of a prepared dataset, made once for a rule, so that all models rank the same lists."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.cached_files import cached_folder, is_cached
from llmrec.components import code, digest
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.lists import ListRule, Lists
from llmrec.datasets.make_lists import lists_report, next_item_lists, rated_lists
from llmrec.datasets.prepared import Prepared, read_rows, rows_table
from llmrec.datasets.settings import SPLITS
from llmrec.errors import InputError


def load_lists(
    prepared: Prepared, events: Callable[[], Interactions | None], rule: ListRule, folder: Path
) -> tuple[dict[str, Lists], dict[str, Any]]:
    """Reads the lists of each split from `folder`; makes and stores them first if necessary.

    Lists by ratings are made from events and use the time boundaries of the splits. Without ratings, each row of a
    split gives one list.

    Args:
        prepared: The prepared dataset.
        events: Reads the events of the prepared dataset.
        rule: How lists are made.
        folder: The folder of stored lists.

    Returns:
        The lists by split, and their part of the leakage report.

    Raises:
        InputError: If a split would have no lists, or stored lists cannot be read.
    """
    key = digest(prepared.content_hash, asdict(rule), code(["datasets.lists"]))
    folder = folder / f"lists-{key}"
    if not is_cached(folder):
        lists, report = _make(prepared, events() if rule.by_ratings else None, rule)
        with cached_folder(folder) as temporary:
            for split in SPLITS:
                pq.write_table(_table(lists[split]), temporary / f"{split}.parquet")
            (temporary / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return {split: _read(folder / f"{split}.parquet") for split in SPLITS}, report
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{folder}: cannot be read ({error}). Delete the folder, and the lists will be made again"
        ) from error


def list_rule(
    task: Mapping[str, Any], dataset: Mapping[str, Any], name: str, ratings: bool, problem: str | None = None
) -> ListRule:
    """Derives the rule from the settings of the task and the dataset.

    Args:
        task: The resolved Hydra group `task`.
        dataset: The resolved Hydra group `dataset`.
        name: Name of the dataset in error messages.
        ratings: Whether the dataset has ratings.
        problem: Why the ratings in its data are not used, if so.

    Raises:
        InputError: If a setting is invalid, or relevance=ratings and the dataset has none, or its ratings would be
            relevance and cannot be used.
    """
    candidates, negatives, relevance = task["candidates"], task["negatives"], task["relevance"]
    if relevance not in ("auto", "ratings", "next_item"):
        raise InputError(f"task.relevance={relevance}: choose one of auto, ratings, next_item")
    if problem and relevance != "next_item":
        raise InputError(f"{name}: {problem}. Or do without ratings: task.relevance=next_item")
    if relevance == "ratings" and not ratings:
        raise InputError(
            f"task.relevance=ratings, but {name} has no ratings: set task.relevance=next_item, or add a column rating "
            "to its interactions"
        )
    if not _whole(candidates) or candidates < 2:
        raise InputError(f"task.candidates={candidates}: a list needs at least 2 candidates to be ranked")
    if not _whole(task["seed"]) or task["seed"] < 0:
        raise InputError(f"task.seed={task['seed']}: give a whole number from 0")
    by_ratings = ratings and relevance != "next_item"
    minimum = 0 if by_ratings else candidates - 1
    negatives = minimum if negatives is None else negatives
    if not _whole(negatives) or not minimum <= negatives < candidates:
        expected = (
            "from 0 to task.candidates - 1" if by_ratings else f"{minimum}: the next item is the only other candidate"
        )
        raise InputError(f"task.negatives={negatives} of {candidates} candidates: give {expected}")
    return ListRule(candidates, negatives, by_ratings, task["seed"], dataset["min_history"], dataset["max_history"])


def _make(prepared: Prepared, events: Interactions | None, rule: ListRule) -> tuple[dict[str, Lists], dict[str, Any]]:
    rows = {split: getattr(prepared, split) for split in SPLITS}
    boundaries = [-np.inf, *(float(rows[split].timestamp.max()) for split in SPLITS[:-1]), np.inf]
    lists, report = {}, {}
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([rule.seed, number])
        counts: dict[str, int] = {}
        if events is not None:
            _check_ratings(events, prepared)
            period = (boundaries[number], boundaries[number + 1])
            lists[split], counts = rated_lists(events, period, prepared.items, rule, rng)
        else:
            known = [rows[name] for name in SPLITS[: number + 1]]
            lists[split] = next_item_lists(rows[split], known, prepared.items, rule, rng)
        if not len(lists[split]):
            raise InputError(
                f"{prepared.name}: no list of {rule.candidates} candidates in {split}. Lower task.candidates, raise "
                "task.negatives, or lower dataset.min_history"
            )
        report[split] = lists_report(lists[split], rows["train"], prepared.items) | counts
    return lists, asdict(rule) | {"splits": report}


def _check_ratings(events: Interactions, prepared: Prepared) -> None:
    """Checks the ratings of datasets that were prepared before readers did so (with file and row)."""
    assert events.rating is not None
    for event in np.flatnonzero(~((events.rating > 0) & (events.rating <= 10)))[:1]:
        raise InputError(
            f"{prepared.name}: user {events.user_ids[events.user[event]]} rates item "
            f"{prepared.items.ids[events.item[event]]} {events.rating[event]:g}, not above 0 and at most 10 (the gain "
            "is 2^rating - 1). Correct the ratings and prepare the dataset again, or set task.relevance=next_item"
        )


def _table(lists: Lists) -> pa.Table:
    table = rows_table(lists.rows)
    for name, part in (("candidates", lists.candidates), ("relevance", lists.relevance)):
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]))
    if lists.history_rating is not None:
        rating = pa.LargeListArray.from_arrays(pa.array(lists.rows.offsets), pa.array(lists.history_rating))
        table = table.append_column("history_rating", rating)
    return table


def _read(path: Path) -> Lists:
    table = pq.read_table(path).combine_chunks()
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    size = columns["candidates"].type.list_size
    rating = columns["history_rating"].values.to_numpy().copy() if "history_rating" in columns else None
    candidates, relevance = (columns[name].values.to_numpy().reshape(-1, size) for name in ("candidates", "relevance"))
    return Lists(read_rows(path), rating, candidates.copy(), relevance.copy())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
