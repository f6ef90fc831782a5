"""Ranks the full catalogue by scores that differ between rows."""

from collections.abc import Callable, Iterable

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows


def rank_by_scores(
    batches: Iterable[np.ndarray],
    rows: Rows,
    items: Items,
    k: int,
    exclude_history: bool,
    progress: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks titles by their scores; of equal scores, the title that comes first in the catalogue is preferred.

    Args:
        batches: Scores of all titles for successive rows, float32 [batch, distinct titles]. They are overwritten.
        rows: The rows to rank for.
        items: The catalogue.
        k: Number of titles for each row.
        exclude_history: Whether to exclude titles of the row's history.
        progress: Called with the number of rows of each finished batch.

    Returns:
        Titles and scores, as `Baseline.rank` returns them.
    """
    titles = np.full((len(rows), k), -1, dtype=np.int32)
    best_scores = np.full((len(rows), k), -np.inf, dtype=np.float32)
    done = 0
    for scores in batches:
        batch = rows.take(np.arange(done, done + len(scores)))
        if exclude_history:
            scores[batch.history_row, items.title_of[batch.history]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        top = np.take_along_axis(scores, order, axis=1)
        block = np.s_[done : done + len(batch), : order.shape[1]]
        titles[block], best_scores[block] = np.where(top > -np.inf, order, -1), top
        done += len(batch)
        progress(len(batch))
    return titles, best_scores
