"""Shows recommendations in W&B and TensorBoard: after each validation, a table of the same users."""

from collections.abc import Sequence

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from llmrec.examples.training_data import TrainingData
from llmrec.markdown_grid import grid

TABLE = "valid/recommendations"
USERS, TITLES = 10, 5
"""Rows and recommended titles of a table."""
COLUMNS = ("user", "history", "target", *(f"top {rank}" for rank in range(1, TITLES + 1)))


def log_recommendations(
    loggers: Sequence[Logger], data: TrainingData, rows: np.ndarray, titles: np.ndarray, step: int
) -> None:
    """Logs history, target and best titles of some users to W&B and TensorBoard. Other loggers get nothing.

    The users are those of the first rows that rank 0 validates, so that they are the same after each epoch.

    Args:
        loggers: The loggers of the training. Only rank 0 has those of W&B and TensorBoard.
        data: Set up for training.
        rows: Validation rows that this rank ranked, int `[rows]`.
        titles: Their ranked distinct titles, int `[rows, k]`, -1 where there are fewer than k.
        step: The optimizer step.
    """
    shown = [log for log in loggers if isinstance(log, (WandbLogger, TensorBoardLogger))]
    if not shown:
        return
    table = recommendation_table(data, rows, titles)
    for log in shown:
        if isinstance(log, WandbLogger):
            log.log_table(TABLE, columns=list(COLUMNS), data=table, step=step)
        else:
            log.experiment.add_text(TABLE, grid(COLUMNS, table), step)


def recommendation_table(data: TrainingData, rows: np.ndarray, titles: np.ndarray) -> list[list[str]]:
    """Returns one line of `COLUMNS` for each of the first users; arguments as for `log_recommendations`."""
    selection, items = data.selection_rows, data.dataset.items
    _, first = np.unique(selection.user[rows], return_index=True)
    table = []
    for index in np.sort(first)[:USERS]:
        row = int(rows[index])
        best = [items.distinct_titles[title] if title >= 0 else "" for title in titles[index, :TITLES].tolist()]
        history = " | ".join(items.titles[item] for item in selection.history_of(row))
        target = items.titles[int(selection.target[row])]
        table.append([str(selection.user[row]), history, target, *best, *[""] * (TITLES - len(best))])
    return table
