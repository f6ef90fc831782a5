"""Bench arm: every metric of catalogue rankings, for users with lists of ten and as many training rows.

python experiments/bench/metrics.py llmrec|torchmetrics USERS

llmrec: the metrics of a run on real data without a reference model, with their values by row, for the run and the
popularity baseline. torchmetrics: NDCG@10 of the run alone.
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


def llmrec(ranking: CatalogueRanking, baseline: CatalogueRanking) -> float:
    """Computes all metrics of both rankings; returns NDCG@10 by title."""
    ndcg: float = measured(CATALOGUE, ranking, baseline)[0]["by_title"]["ndcg@10"]
    return ndcg


def with_torchmetrics(ranking: CatalogueRanking, _: CatalogueRanking) -> float:
    """Returns NDCG@10 of torchmetrics, to which each user is a query."""
    import torch
    from torchmetrics.retrieval import RetrievalNormalizedDCG

    metric = RetrievalNormalizedDCG(top_k=LIST_LENGTH)
    users = len(ranking.titles)
    metric.update(
        preds=torch.arange(LIST_LENGTH, 0, -1, dtype=torch.float32).repeat(users),
        target=torch.from_numpy(ranking.titles == ranking.target_title[:, None]).long().flatten(),
        indexes=torch.arange(users).repeat_interleave(LIST_LENGTH),
    )
    return float(metric.compute())


def main(arm: str, users: int) -> None:
    """Prints one JSON line with NDCG@10, the processor seconds and the peak memory of the process, data included."""
    rng = np.random.default_rng(0)
    items = Items([str(i) for i in range(ITEMS)], [f"title {i % TITLES}" for i in range(ITEMS)])
    train, test = random_rows(rng, users), random_rows(rng, users)
    data = Dataset("random", False, items, train, train, test, test, "", {})
    titles = rng.integers(0, TITLES, (users, LIST_LENGTH), dtype=np.int32)
    target = items.title_of[test.target]
    # A tenth of the users are recommended their target.
    titles[::10, 3] = target[::10]
    popular = recommend_popular(test, train, items, LIST_LENGTH, False)
    scores = np.zeros(titles.shape, np.float32)
    ranking, baseline = (
        CatalogueRanking(listed, scores, target, test, data, "test", False) for listed in (titles, popular)
    )
    start = time.process_time()
    ndcg = (llmrec if arm == "llmrec" else with_torchmetrics)(ranking, baseline)
    seconds = time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"users": users, "ndcg": ndcg, "seconds": round(seconds, 2), "peak_mb": round(peak_mb)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
