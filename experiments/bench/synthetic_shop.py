"""Synthetic interactions in the generic layout, for measuring prepare: popular items, users of all sizes, random order.

python experiments/bench/synthetic_shop.py FOLDER EVENTS csv|parquet
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

USERS_A_MILLION, ITEMS_A_MILLION = 100_000, 20_000
"""Users and items for each million of events: 10 million have 1 million users and 200,000 items."""
FIRST, LAST = 1_400_000_000, 1_700_000_000
"""Range of the timestamps in unix seconds."""


def write_shop(folder: Path, events: int, kind: str) -> None:
    """Writes interactions and items to a new folder; the same for the same number of events.

    Args:
        folder: The folder.
        events: Number of interactions.
        kind: "csv" or "parquet".
    """
    generator = np.random.default_rng(0)
    users, items = events * USERS_A_MILLION // 10**6, events * ITEMS_A_MILLION // 10**6
    # Squares and cubes of uniform numbers favor small ones: some users and items have far more events than others.
    user = (users * generator.random(events) ** 2).astype(np.int64)
    item = (items * generator.random(events) ** 3).astype(np.int64)
    codes = pl.DataFrame({
        "user": user, "item": item, "rating": generator.integers(1, 6, events, dtype=np.int8),
        "timestamp": generator.integers(FIRST, LAST, events),
    })  # fmt: skip
    interactions = codes.lazy().with_columns(
        user=pl.format("A{}", (pl.col("user") * 7_919 % users).cast(pl.String).str.zfill(13)),
        item=pl.format("B{}", pl.col("item").cast(pl.String).str.zfill(9)),
    )
    number = pl.Series(np.arange(items))
    listed = pl.LazyFrame({"number": number}).select(
        item=pl.format("B{}", pl.col("number").cast(pl.String).str.zfill(9)),
        title=pl.format("Synthetic product {}, series {}", "number", pl.col("number") % 97),
        categories=pl.format("Kind {}|Shelf {}", pl.col("number") % 31, pl.col("number") % 7),
    )
    folder.mkdir(parents=True)
    for name, table in {"interactions": interactions, "items": listed}.items():
        path = folder / f"{name}.{kind}"
        if kind == "csv":
            table.sink_csv(path)
        else:
            table.sink_parquet(path)


if __name__ == "__main__":
    write_shop(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
