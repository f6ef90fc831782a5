"""Bench arm: memory and time of a ranking in parts, without a model: random titles for many users.

python experiments/bench/ranking_parts.py USERS

The ranking is kept in parts, put together, written, and read as for its metrics.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from metrics import ITEMS, LIST_LENGTH, TITLES, random_rows
from omegaconf import OmegaConf
from workload import peak_megabytes

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.evaluation.record import read_part, write_part
from llmrec.tasks.catalogue_rankings import ranking_table


class RandomRanker:
    """Gives every row random titles."""

    name, decoder = "model", SimpleNamespace(exclude_history=False)

    def __init__(self, items: Items) -> None:
        self.items, self.rng = items, np.random.default_rng(0)

    def rank(self, rows: Rows, *_: Any) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Returns titles and scores."""
        titles = self.rng.integers(0, TITLES, (len(rows), LIST_LENGTH), dtype=np.int32)
        return titles, np.zeros(titles.shape, np.float32), {}

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row's target."""
        titles: np.ndarray = self.items.title_of[rows.target]
        return titles


def main(users: int) -> None:
    """Prints one JSON line: seconds, peak memory before, and after ranking and reading."""
    items = Items(
        [str(i) for i in range(ITEMS)], [f"a title of usual length, number {i % TITLES}" for i in range(ITEMS)]
    )
    test = random_rows(np.random.default_rng(0), users)
    few = test.take(np.arange(10))
    data = Dataset("random", False, items, few, few, test, test, "", {})
    config = OmegaConf.create({"baseline": {"name": "none"}, "evaluation": {"users": None, "sample_seed": 0}})
    loaded, started = peak_megabytes(), time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        parts = folder / "parts"
        table = ranking_table("ranking", RandomRanker(items), data, "test", config, parts, lambda done: None)
        write_part(folder, "ranking", {"test": table})
        ranked = peak_megabytes()
        del table
        read_part(folder, "ranking")
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {"users": users, "seconds": seconds, "loaded_mb": loaded, "ranked_mb": ranked, "read_mb": peak_megabytes()}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
