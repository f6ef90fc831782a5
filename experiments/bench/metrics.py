"""Bench arm: every metric of catalogue rankings, for users with lists of ten and as many training rows.

python experiments/bench/metrics.py USERS

The metrics are those of a run on real data without a reference model, with their values by row, for the run and the
popularity baseline.
"""

import json
import resource
import sys
import time

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.popularity import recommend_popular
from llmrec.metrics.measured import measured
from llmrec.metrics.ranking import CatalogueRanking
from llmrec.metrics.shipped import CATALOGUE

LIST_LENGTH, ITEMS, TITLES = 10, 17_256, 16_788


def random_rows(rng: np.random.Generator, users: int) -> Rows:
    """Returns rows with histories of one to ten random items."""
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 11, users))])
    return Rows(
        user=np.arange(users).astype(str).astype(object),
        history=rng.integers(0, ITEMS, offsets[-1], dtype=np.int32),
        offsets=offsets,
        target=rng.integers(0, ITEMS, users, dtype=np.int32),
        timestamp=np.zeros(users, dtype=np.int64),
    )


def main() -> None:
    """Prints one JSON line with the processor seconds and the peak memory of the process, data included."""
    users, rng = int(sys.argv[1]), np.random.default_rng(0)
    items = Items([str(i) for i in range(ITEMS)], [f"title {i % TITLES}" for i in range(ITEMS)])
    train, test = random_rows(rng, users), random_rows(rng, users)
    data = Dataset("random", False, items, train, train, test, test, "", {})
    titles = rng.integers(0, TITLES, (users, LIST_LENGTH), dtype=np.int32)
    popular = recommend_popular(test, train, items, LIST_LENGTH, False)
    scores, target = np.zeros(titles.shape, np.float32), items.title_of[test.target]
    ranking, baseline = (
        CatalogueRanking(listed, scores, target, test, data, "test", False) for listed in (titles, popular)
    )
    start = time.process_time()
    measured(CATALOGUE, ranking, baseline)
    seconds = time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"users": users, "seconds": round(seconds, 2), "peak_mb": round(peak_mb)}))


if __name__ == "__main__":
    main()
