"""Rankings of titles as tables: ranked titles, and texts that are generated without constraints."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.errors import InputError
from llmrec.tasks.base import Progress
from llmrec.tasks.parts import ranked_in_parts

UNCONSTRAINED = "unconstrained"
"""The part with the texts that the model generates without constraints."""


def ranking_table(
    part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
) -> pa.Table:
    """Ranks the rows of a split; arguments as for `Task.rank`.

    Returns:
        The columns of `row_identity` and, for the ranking, `target_title`, the title that counts as a hit; `titles`,
        best first; `scores`, of these titles; `list_length`, the number of titles that were asked for; and
        `exclude_history`, whether titles of the history were left out; and the decoder's details. For generated texts
        `text` and `is_title`.
    """
    names = pa.array(dataset.items.distinct_titles, pa.string())

    def generate(rows: Rows) -> pa.Table:
        texts, is_title = ranker.unconstrained_texts(rows, progress)
        return pa.table({"text": pa.array(texts, pa.string()), "is_title": is_title})

    def rank(rows: Rows) -> pa.Table:
        titles, scores, details = ranker.rank(rows, split, progress)
        is_given = titles >= 0
        offsets = np.concatenate([[0], np.cumsum(is_given.sum(axis=1))]).astype(np.int32)
        return pa.table(
            {
                "target_title": names.take(pa.array(ranker.target_titles(rows))),
                "titles": pa.ListArray.from_arrays(offsets, names.take(pa.array(titles[is_given]))),
                "scores": pa.ListArray.from_arrays(offsets, pa.array(scores[is_given].astype(np.float32))),
                "list_length": np.full(len(rows), titles.shape[1], dtype=np.int32),
                "exclude_history": np.full(len(rows), ranker.decoder.exclude_history),
                **details,
            }
        )

    rows = evaluated_rows(dataset, split, config)
    if config.baseline.name != "none":
        # It takes seconds, and the random one draws its numbers row by row.
        return with_identity(rank(rows), rows, dataset)
    make = generate if part == UNCONSTRAINED else rank
    return with_identity(ranked_in_parts(rows, folder, make, progress), rows, dataset)


def with_identity(table: pa.Table, rows: Rows, dataset: Dataset) -> pa.Table:
    """Returns a table of rows with the columns of `row_identity` before its own."""
    return pa.table({**row_identity(rows, dataset), **dict(zip(table.column_names, table.columns, strict=True))})


def evaluated_rows(dataset: Dataset, split: str, config: DictConfig) -> Rows:
    """Returns the rows of a split that are evaluated."""
    rows: Rows = getattr(dataset, split)
    if len(rows) == 0:
        raise InputError(f"the {split} split of {dataset.name} has no rows to evaluate. Add rows, or skip the split.")
    return rows.take(draw(len(rows), config.evaluation.users, config.evaluation.sample_seed))


def row_identity(rows: Rows, dataset: Dataset) -> dict[str, pa.Array]:
    """Returns the columns that identify a row: its number in the sample, its user and the ID of its target."""
    return {
        "row": pa.array(np.arange(len(rows))),
        "user": pa.array(rows.user.tolist(), pa.string()),
        "target": pa.array(dataset.items.ids, pa.string()).take(pa.array(rows.target)),
    }
