"""Metrics of ranked candidate lists: graded NDCG, and sensitivity to the order in which candidates are shown."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.graded import graded_ndcg, position_sensitivity
from llmrec.evaluation.list_accuracy import CUTOFFS, list_accuracy
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.ranking import ListRanking


class ByList(Metric):
    """Graded NDCG by list."""

    name = "by_list"
    compares_baseline = True
    figures: ClassVar[Mapping[str, Figure]] = {
        f"ndcg@{k}": Figure(f"NDCG@{k}", "higher", (f"ndcg@{k}",), heading=f"NDCG\n@{k}") for k in CUTOFFS
    }

    def rows(self, ranking: ListRanking) -> dict[str, np.ndarray]:
        return {f"ndcg@{k}": graded_ndcg(ranking.orders[0], ranking.lists.gains, k) for k in CUTOFFS}

    def record(self, ranking: ListRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return list_accuracy(ranking.orders[0], ranking.lists)


class Position(Metric):
    """How much rankings vary with the order in which the candidates are shown; needs at least two orders."""

    name = "position"
    figures: ClassVar[Mapping[str, Figure]] = {
        "ndcg@10": Figure("NDCG@10 over orders", "higher", ("ndcg@10",)),
        "ndcg_std": Figure("order std", "lower", ("ndcg_std",), heading="order\nstd"),
        "kendall_tau": Figure("Kendall tau", "higher", ("kendall_tau",), heading="Kend.\ntau"),
    }

    def rows(self, ranking: ListRanking) -> dict[str, np.ndarray]:
        if len(ranking.orders) < 2:
            return {}
        gains = ranking.lists.gains
        mean = np.mean([graded_ndcg(order, gains, 10) for order in ranking.orders], axis=0)
        return {"ndcg@10": mean, **position_sensitivity(ranking.orders, gains, 10)}

    def record(self, ranking: ListRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        if not rows:
            return {}
        return {"orders": len(ranking.orders)} | {name: float(values.mean()) for name, values in rows.items()}
