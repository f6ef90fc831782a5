"""Collects the users that the page of a comparison shows: history, target and each run's best titles or candidates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.datasets.dataset import draw
from llmrec.evaluation.record import read_part
from llmrec.manifest import damage_named, rank_again
from llmrec.tables.browser_histories import Histories, read_histories
from llmrec.tables.chosen_runs import ChosenRun
from llmrec.tasks.base import RANKING

USERS, SEED = 200, 0
"""Users on the page, drawn with a fixed seed, so that the page stays small and equal reports show equal users."""
TITLES = 10
NEXT_ITEM = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("user", "target", "target_title")),
        pa.field("titles", pa.list_(pa.string()), nullable=False),
    ]
)
RERANK = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("ranked", pa.list_(pa.string()), nullable=False),
        pa.field("relevance", pa.list_(pa.float32()), nullable=False),
        pa.field("order", pa.list_(pa.int32()), nullable=False),
    ]
)
"""The columns of a ranking that the page shows, by task."""
Indices = Callable[[Sequence[str]], list[int]]
"""Gives titles their positions in the page's list of titles."""


def browser_data(rows: Mapping[str, Mapping[int, ChosenRun]], trust: bool) -> dict[str, Any]:
    """Returns the sampled users of a group of comparable runs, each with the first of their test rows or lists.

    Args:
        rows: The runs of the group by recommender and seed.
        trust: Accepts code that the runs' configs name; see `read_stored`.

    Returns:
        JSON-serializable data, in which titles are positions in `titles`. `missing` tells what is not shown and why.
    """
    labeled = {_label(name, row, seed): run for name, row in rows.items() for seed, run in row.items()}
    tables = {label: table for label, run in labeled.items() if (table := _ranking(run)) is not None}
    absent = [label for label in labeled if label not in tables]
    missing = [_without_rankings(absent)] if absent else []
    if not tables:
        return {"runs": [], "users": [], "titles": [], "all_users": 0, "missing": missing}
    first = next(iter(tables.values()))
    users = np.array(first["user"].to_pylist(), dtype=object)
    _, start = np.unique(users.astype(str), return_index=True)
    sampled = np.sort(start)[draw(len(start), USERS, SEED)]
    histories = read_histories(labeled[next(iter(tables))], first, sampled, trust)
    titles: dict[str, int] = {}

    def indices(texts: Sequence[str]) -> list[int]:
        return [titles.setdefault(text, len(titles)) for text in texts]

    taken = [table.take(pa.array(sampled)).to_pylist() for table in tables.values()]
    shown = list(_users(taken, histories, indices))
    missing += [histories.reason] if histories.reason else []
    return {"runs": list(tables), "users": shown, "titles": list(titles), "all_users": len(start), "missing": missing}


def _label(name: str, row: Mapping[int, ChosenRun], seed: int) -> str:
    return name if len(row) == 1 else f"{name}, seed {seed}"


def _without_rankings(labels: Sequence[str]) -> str:
    return (
        f"Not shown: {', '.join(labels)}, whose rankings are not stored here. An archive of llmrec.report pack= holds "
        "neither recommended titles nor histories."
    )


def _ranking(chosen: ChosenRun) -> pa.Table | None:
    """Returns the ranking of the test split, or None if there is none."""
    folder = chosen.run.job.record
    ranking = (read_part(folder, RANKING) or {}).get("test")
    if ranking is None:
        return None
    schema = RERANK if "ranked" in ranking.column_names else NEXT_ITEM
    if not set(schema.names) <= set(ranking.column_names):
        return None
    with damage_named(folder / f"{RANKING}.parquet", rank_again(folder)):
        return ranking.select(schema.names).cast(schema)


def _users(
    taken: Sequence[Sequence[Mapping[str, Any]]], histories: Histories, indices: Indices
) -> Iterator[dict[str, Any]]:
    """Yields what the page shows of each user.

    Args:
        taken: The sampled rows of each run's ranking.
        histories: Their histories.
        indices: Gives titles their positions.
    """
    for place, (first, *others) in enumerate(zip(*taken, strict=True)):
        history = histories.titles[place] if histories.titles else []
        user = {"user": first["user"], "history": indices(history)}
        if "ranked" in first:
            named = indices([histories.title_of(item) for item in first["ranked"]])
            # Of each candidate the relevance, which is the same in all runs.
            user["relevance"] = list(zip(named, first["relevance"], strict=True))
            lists = [[histories.title_of(item) for item in row["ranked"]] for row in (first, *others)]
        else:
            user["relevance"] = [(indices([first["target_title"]])[0], 1)]
            lists = [row["titles"][:TITLES] for row in (first, *others)]
        yield user | {"lists": [indices(texts) for texts in lists]}
