"""Bench arm: the tests and intervals of a table of 100 runs (20 rows of 5 seeds) on 1,000 users.

Each of the 19 rows beside the reference is compared in two accuracy metrics and in MGU@5, and each row has an interval.
"""

import json
import time

import numpy as np

from llmrec.evaluation.significance import compare, compare_measures, measure_interval
from llmrec.metrics.fairness import mean_unfairness

ROWS, SEEDS, USERS, BINS = 20, 5, 1_000, 5


def main() -> None:
    """Prints one JSON line with the processor seconds."""
    rng = np.random.default_rng(0)
    users = np.arange(USERS).astype(str).astype(object)
    ndcg, hits = rng.random((ROWS, USERS)), rng.random((ROWS, USERS)) < 0.1
    counts = rng.integers(0, 5, (ROWS, SEEDS, USERS, 2 * BINS)).astype(np.float64)

    start = time.process_time()
    for row in range(ROWS):
        measure_interval(list(counts[row]), users, mean_unfairness)
        if row:
            compare(ndcg[row], ndcg[0], users)
            compare(hits[row].astype(np.float64), hits[0].astype(np.float64), users)
            compare_measures(list(counts[row]), list(counts[0]), users, mean_unfairness)
    print(json.dumps({"seconds": round(time.process_time() - start, 2)}))


if __name__ == "__main__":
    main()
