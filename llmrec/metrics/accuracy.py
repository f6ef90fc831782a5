"""Accuracy of catalogue rankings, by title and by item."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.accuracy import (
    HR_CUTOFFS,
    MRR_CUTOFFS,
    NDCG_CUTOFFS,
    accuracy,
    hit,
    item_ranks,
    ndcg,
    reciprocal_rank,
    title_ranks,
)
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.ranking import CatalogueRanking

FIGURES = {
    f"{name}@{k}": Figure(f"{name.upper()}@{k}", "higher", (f"{name}@{k}",), heading=f"{name.upper()}@{k}")
    for name, cutoffs in (("ndcg", NDCG_CUTOFFS), ("hr", HR_CUTOFFS), ("mrr", MRR_CUTOFFS))
    for k in cutoffs
}


class Accuracy(Metric):
    """Base of the accuracy by title and by item."""

    figures: ClassVar[Mapping[str, Figure]] = FIGURES
    compares_baseline = True

    @abstractmethod
    def ranks(self, ranking: CatalogueRanking) -> np.ndarray:
        """Returns the rank of each target, int32 [rows], 1-based; 0 = absent."""

    def rows(self, ranking: CatalogueRanking) -> dict[str, np.ndarray]:
        ranks, length = self.ranks(ranking), ranking.titles.shape[1]
        kinds = {"ndcg": ndcg, "hr": hit, "mrr": reciprocal_rank}
        found = {"rank": ranks}
        for name in FIGURES:
            kind, _, cutoff = name.partition("@")
            if int(cutoff) <= length:
                found[name] = kinds[kind](ranks, int(cutoff)).astype(np.float64)
        return found

    def record(self, ranking: CatalogueRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return accuracy(rows["rank"], ranking.users, ranking.titles.shape[1])


class ByTitle(Accuracy):
    """Accuracy if any item with the target's title is a hit, as in the papers."""

    name = "by_title"

    def ranks(self, ranking: CatalogueRanking) -> np.ndarray:
        return title_ranks(ranking.titles, ranking.target_title)


class ByItem(Accuracy):
    """Accuracy if only the target item is a hit; see `item_ranks`."""

    name = "by_item"

    def ranks(self, ranking: CatalogueRanking) -> np.ndarray:
        return item_ranks(ranking.titles, ranking.rows.target, ranking.dataset.items)
