"""Ranks many rows in parts that are kept, so that an interrupted evaluation goes on after the last finished part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.cached_files import cached_file, is_cached
from llmrec.collectives import all_ranks_agree, barrier, is_rank_zero
from llmrec.datasets.dataset import Rows
from llmrec.tasks.base import Progress

PART_ROWS = 2_000
"""Rows of a part. All ranks share a part, so a run may go on with another number of ranks."""


def ranked_in_parts(rows: Rows, folder: Path, rank: Callable[[Rows], pa.Table], progress: Progress) -> pa.Table:
    """Ranks rows part by part.

    Args:
        rows: The rows.
        folder: Takes the finished parts, as Parquet files; not used if there is only one part.
        rank: Ranks some rows, on all ranks, and returns a table with one row each.
        progress: Called with the number of rows of each part that was finished before.

    Returns:
        The table of all rows, in order.
    """
    if len(rows) <= PART_ROWS:
        return rank(rows)
    tables = []
    for start in range(0, len(rows), PART_ROWS):
        part = rows.take(np.arange(start, min(start + PART_ROWS, len(rows))))
        file = folder / f"{start}.parquet"
        if all_ranks_agree(is_cached(file)):
            tables.append(pq.read_table(file))
            progress(len(part))
            continue
        tables.append(rank(part))
        if is_rank_zero():
            with cached_file(file) as temporary:
                pq.write_table(tables[-1], temporary)
    # Rank 0 may remove the parts next, which the other ranks must have read.
    barrier()
    return pa.concat_tables(tables)
