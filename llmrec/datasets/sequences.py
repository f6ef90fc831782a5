"""Turns interactions into splits: k-core, sliding windows, split, leakage report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.event_report import event_report
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.kcore import k_core
from llmrec.datasets.leakage import leakage_report, leave_one_out_report
from llmrec.datasets.prepared import Splits
from llmrec.datasets.settings import LEAVE_ONE_OUT, SPLITS
from llmrec.datasets.split import global_time_split, leave_one_out
from llmrec.datasets.windows import windows
from llmrec.errors import InputError


@dataclass(frozen=True)
class Sequences:
    """Splits made from interactions.

    Attributes:
        items: The items in the k-core.
        item_index: Index of each of these items in the original catalogue, int64 [items].
        interactions: The events in the k-core, ordered by user and time.
        rows: The rows of each split.
        target_event: Position of each row's target in the original interactions, int64 [rows], by split.
        report: The leakage report.
    """

    items: Items
    item_index: np.ndarray
    interactions: Interactions
    rows: dict[str, Rows]
    target_event: dict[str, np.ndarray]
    report: dict[str, Any]

    def splits(self, best_ndcg10: dict[str, float] | None = None) -> Splits:
        """Returns what a prepared dataset stores of them; `best_ndcg10` is that of simulated data."""
        train, valid, test = (self.rows[split] for split in SPLITS)
        return Splits(
            self.items, train, valid, test, self.report, interactions=self.interactions, best_ndcg10=best_ndcg10
        )


def make_sequences(items: Items, interactions: Interactions, dataset: Mapping[str, Any], where: str) -> Sequences:
    """Takes the k-core, makes windows and splits them by time, or leaves each user's last ones out.

    Args:
        items: The catalogue. Items outside the k-core are removed from it.
        interactions: The interactions, in any order.
        dataset: The settings k_core, min_history, max_history and split.
        where: Name of the source in error messages.

    Raises:
        InputError: If a split would have no rows.
    """
    order = interactions.by_user_and_time()
    core_positions = order[k_core(interactions.user[order], interactions.item[order], dataset["k_core"])]
    core = interactions.take(core_positions)
    item_index, item = _renumbered(core.item)
    events = Interactions(core.user_ids, core.user, item, core.timestamp, core.rating)
    found = windows(events, dataset["min_history"], dataset["max_history"])
    target, timestamp = found.target, found.timestamp
    leaves_one_out = dataset["split"] == LEAVE_ONE_OUT
    if leaves_one_out:
        positions = leave_one_out(events.user, target, timestamp)
    else:
        positions = global_time_split(timestamp, dataset["split"])
    parts = dict(zip(SPLITS, positions, strict=True))
    if not all(len(part) for part in parts.values()):
        raise InputError(
            f"{where}: a split would have no rows: {len(interactions):,} interactions leave {len(events):,} in the "
            f"{dataset['k_core']}-core and {len(found):,} windows. Lower dataset.k_core or dataset.min_history"
        )
    items = _subset(items, item_index)
    by_split = {split: found.rows(part) for split, part in parts.items()}
    last_event = {split: events.timestamp[target[part] - 1] for split, part in parts.items()}
    report = leakage_report(items, **by_split, k_core_over_whole_period=dataset["k_core"] > 1, last_event=last_event)
    if leaves_one_out:
        report = leave_one_out_report(report, by_split["train"], by_split["test"])
    report["events"] = event_report(interactions)
    # Users are indices up to here, because they take a fraction of the memory of their ids.
    by_split = {split: replace(part, user=events.user_ids[part.user]) for split, part in by_split.items()}
    target_event = {split: core_positions[target[part]] for split, part in parts.items()}
    return Sequences(items, item_index, events, by_split, target_event, report)


def _renumbered(item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct indices of items, ascending, int64, and the position of each event's among them, int32."""
    occurs = np.zeros(item.max(initial=-1) + 1, dtype=bool)
    occurs[item] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs, dtype=np.int32) - np.int32(1))[item]


def _subset(items: Items, indices: np.ndarray) -> Items:
    categories = None if items.categories is None else [items.categories[index] for index in indices]
    return Items([items.ids[index] for index in indices], [items.titles[index] for index in indices], categories)
