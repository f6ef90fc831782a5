"""Bench arm: ranks, accuracy and slices of 100,000 users with lists of ten; the target is under one second."""

import json
import time

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.evaluation.accuracy import accuracy, item_ranks, title_ranks
from llmrec.evaluation.slices import by_slice, slices

USERS, LIST_LENGTH, ITEMS, TITLES = 100_000, 10, 17_256, 16_788


def random_rows(rng: np.random.Generator) -> Rows:
    """USERS rows with histories of one to ten random items."""
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 11, USERS))])
    return Rows(
        user=np.arange(USERS).astype(str),
        history=rng.integers(0, ITEMS, offsets[-1], dtype=np.int32),
        offsets=offsets,
        target=rng.integers(0, ITEMS, USERS, dtype=np.int32),
        timestamp=np.zeros(USERS, dtype=np.int64),
    )


def main() -> None:
    """Prints one JSON line with the seconds that the metrics took."""
    rng = np.random.default_rng(0)
    items = Items([str(i) for i in range(ITEMS)], [f"title {i % TITLES}" for i in range(ITEMS)])
    train, rows = random_rows(rng), random_rows(rng)
    recommended = rng.integers(0, TITLES, (USERS, LIST_LENGTH), dtype=np.int32)

    start = time.perf_counter()
    by_title = title_ranks(recommended, items.title_of[rows.target])
    accuracy(by_title, rows.user, LIST_LENGTH)
    accuracy(item_ranks(recommended, rows.target, items), rows.user, LIST_LENGTH)
    by_slice(by_title, rows.user, slices(rows, train, items), LIST_LENGTH)
    print(json.dumps({"arm": "metrics", "seconds": round(time.perf_counter() - start, 4)}))


if __name__ == "__main__":
    main()
