"""Collects the users that the page of a comparison shows: history, target and each run's best titles."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.datasets.dataset import Rows, draw
from llmrec.errors import InputError
from llmrec.evaluation.record import read_part
from llmrec.manifest import damage_named, rank_again
from llmrec.tables.chosen_runs import ChosenRun
from llmrec.tasks.base import RANKING
from llmrec.tasks.catalogue_rankings import evaluated_rows, row_identity
from llmrec.training.open_dataset import read_dataset
from llmrec.training.ranking_settings import with_settings_of

USERS, SEED = 200, 0
"""Users on the page, drawn with a fixed seed, so that the page stays small and equal reports show equal users."""
TITLES = 10
COLUMNS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("user", "target", "target_title")),
        pa.field("titles", pa.list_(pa.string()), nullable=False),
    ]
)
"""The columns of a ranking that the page shows."""


def browser_data(rows: Mapping[str, Mapping[int, ChosenRun]], trust: bool) -> dict[str, Any] | None:
    """Returns the sampled users of a group of runs of task next_item, each with the first of their test rows.

    Args:
        rows: The runs of the group by recommender and seed.
        trust: Accepts code that the runs' configs name; see `read_stored`.

    Returns:
        JSON-serializable data, in which titles are positions in `titles`; None for other tasks and for runs whose
        rankings are not stored, such as those of an archive.
    """
    tables = {_label(name, row, seed): ranking for name, row in rows.items() for seed, run in row.items()
              if (ranking := _ranking(run)) is not None}  # fmt: skip
    if not tables:
        return None
    first = next(iter(tables.values()))
    users = np.array(first["user"].to_pylist(), dtype=object)
    _, start = np.unique(users.astype(str), return_index=True)
    sampled = np.sort(start)[draw(len(start), USERS, SEED)]
    histories, missing = _histories(next(iter(next(iter(rows.values())).values())), first, sampled, trust)
    titles: dict[str, int] = {}

    def indices(texts: list[str]) -> list[int]:
        return [titles.setdefault(text, len(titles)) for text in texts]

    taken = {label: table.take(pa.array(sampled)).to_pylist() for label, table in tables.items()}
    shown = [
        {
            "user": str(users[row]),
            "target": indices([next(iter(taken.values()))[place]["target_title"]])[0],
            "history": indices(histories[place]) if histories else [],
            "lists": [indices(lines[place]["titles"][:TITLES]) for lines in taken.values()],
        }
        for place, row in enumerate(sampled.tolist())
    ]
    return {"runs": list(tables), "users": shown, "titles": list(titles), "all_users": len(start), "missing": missing}


def _label(name: str, row: Mapping[int, ChosenRun], seed: int) -> str:
    return name if len(row) == 1 else f"{name}, seed {seed}"


def _ranking(chosen: ChosenRun) -> pa.Table | None:
    """Returns the ranked titles of the test split, or None if there are none."""
    folder = chosen.run.job.record
    ranking = (read_part(folder, RANKING) or {}).get("test")
    # Rankings of candidate lists have no single target.
    if ranking is None or "target_title" not in ranking.column_names:
        return None
    with damage_named(folder / f"{RANKING}.parquet", rank_again(folder)):
        return ranking.select(COLUMNS.names).cast(COLUMNS)


def _histories(
    chosen: ChosenRun, ranking: pa.Table, sampled: np.ndarray, trust: bool
) -> tuple[list[list[str]] | None, str | None]:
    """Returns the titles of each sampled row's history, oldest first, or None and the reason why there are none."""
    try:
        config = with_settings_of(chosen.run.job.record, chosen.run.job.run.config(trust), trust)
        dataset = read_dataset(config)
        rows: Rows = evaluated_rows(dataset, "test", config)
    except InputError as error:
        return None, f"Histories are not shown, because the data cannot be read: {error}"
    identity = row_identity(rows, dataset)
    if any(not ranking[name].combine_chunks().equals(identity[name]) for name in ("user", "target")):
        return None, "Histories are not shown, because the data has changed since the runs were ranked."
    names = dataset.items.titles
    return [[names[item] for item in rows.history_of(row).tolist()] for row in sampled.tolist()], None
