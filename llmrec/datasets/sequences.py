"""From interactions to a prepared set: k-core, windows, split by global time, leakage report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.kcore import k_core
from llmrec.datasets.leakage import leakage_report
from llmrec.datasets.split import SPLITS, global_time_split
from llmrec.datasets.windows import windows
from llmrec.errors import InputError


@dataclass(frozen=True)
class Sequences:
    """Splits made from interactions.

    items, interactions: those in the k-core, events by user and time; item_place: int64, where each item stood before;
    rows: by split; target_event: by split, int64 [rows], the position of each target in the interactions given.
    """

    items: Items
    item_place: np.ndarray
    interactions: Interactions
    rows: dict[str, Rows]
    target_event: dict[str, np.ndarray]
    report: dict[str, Any]


def make_sequences(items: Items, given: Interactions, dataset: Mapping[str, Any], where: str) -> Sequences:
    """Takes the k-core, makes windows and splits them by the time of their targets.

    Items outside the k-core leave the catalogue. `where` names the file in errors. Raises InputError when a split
    would have no rows.
    """
    order = given.by_user_and_time()
    kept = order[k_core(given.user[order], given.item[order], dataset["k_core"])]
    item_place, item = np.unique(given.item[kept], return_inverse=True)
    core = given.take(kept)
    events = Interactions(core.user_ids, core.user, item.astype(np.int32), core.timestamp, core.rating)
    rows, target = windows(events, dataset["min_history"], dataset["max_history"])
    parts = dict(zip(SPLITS, global_time_split(rows.timestamp, dataset["split"]), strict=True))
    if not all(len(part) for part in parts.values()):
        raise InputError(
            f"{where}: a split would have no rows: {len(given):,} interactions leave {len(events):,} in the "
            f"{dataset['k_core']}-core and {len(rows):,} windows. Lower dataset.k_core or dataset.min_history"
        )
    items = _subset(items, item_place)
    by_split = {split: rows.take(part) for split, part in parts.items()}
    last_event = {split: events.timestamp[target[part] - 1] for split, part in parts.items()}
    report = leakage_report(items, **by_split, k_core_over_whole_period=dataset["k_core"] > 1, last_event=last_event)
    target_event = {split: kept[target[part]] for split, part in parts.items()}
    return Sequences(items, item_place, events, by_split, target_event, report)


def _subset(items: Items, place: np.ndarray) -> Items:
    categories = None if items.categories is None else [items.categories[index] for index in place]
    return Items([items.ids[index] for index in place], [items.titles[index] for index in place], categories)
