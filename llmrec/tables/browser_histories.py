"""Reads the histories of rows and lists, and the titles of candidates, from the data of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from llmrec.tables.chosen_runs import ChosenRun
from llmrec.tasks.catalogue_rankings import evaluated_rows, row_identity
from llmrec.tasks.list_rankings import evaluated_lists, list_identity, ranked_candidates
from llmrec.training.open_dataset import read_dataset
from llmrec.training.ranking_settings import with_settings_of

CHANGED = "Histories are not shown, because the data has changed since the runs were ranked."


@dataclass(frozen=True)
class Histories:
    """The histories of some rows.

    Attributes:
        titles: The titles of each row's history, oldest first; None if they cannot be read.
        names: Titles of items by ID.
        reason: Why there are no titles.
    """

    titles: list[list[str]] | None
    names: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None

    def title_of(self, item: str) -> str:
        """Returns the title of an item, or its ID if the data cannot be read."""
        return self.names.get(item, item)


def read_histories(chosen: ChosenRun, ranking: pa.Table, sampled: np.ndarray, trust: bool) -> Histories:
    """Reads the histories of sampled rows of a run's ranking.

    Args:
        chosen: The run.
        ranking: The ranking, with the columns of the user browser.
        sampled: Positions of the rows, int [rows].
        trust: Accepts code that the run's config names; see `read_stored`.
    """
    try:
        config = with_settings_of(chosen.run.job.record, chosen.run.job.run.config(trust))
        dataset = read_dataset(config)
        found = _ranked_rows(dataset, config, ranking)
    except InputError as error:
        return Histories(None, reason=f"Histories are not shown, because the data cannot be read: {error}")
    if found is None:
        return Histories(None, reason=CHANGED)
    names = dataset.items.titles
    titles = [[names[item] for item in found.history_of(row).tolist()] for row in sampled.tolist()]
    return Histories(titles, dict(zip(dataset.items.ids, names, strict=True)))


def _ranked_rows(dataset: Dataset, config: DictConfig, ranking: pa.Table) -> Rows | None:
    """Returns the rows that were ranked, or None if the ranking is not of these data."""
    if "ranked" not in ranking.column_names:
        rows = evaluated_rows(dataset, "test", config)
        return rows if _are_equal(ranking, row_identity(rows, dataset), ("user", "target")) else None
    lists = evaluated_lists(dataset, "test", config)
    order = np.array(ranking["order"].to_pylist())
    if order.shape != lists.candidates.shape:
        return None
    expected = list_identity(lists) | ranked_candidates(order, lists, dataset)
    return lists.rows if _are_equal(ranking, expected, ("user", "ranked")) else None


def _are_equal(ranking: pa.Table, expected: Mapping[str, pa.Array], names: tuple[str, ...]) -> bool:
    return all(ranking[name].to_pylist() == expected[name].to_pylist() for name in names)
