"""Semantic hallucinations of catalogue rankings."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.hallucination import Top1Titles, judge_top1_titles
from llmrec.metrics.base import Figure, Metric, ratio
from llmrec.metrics.ranking import CatalogueRanking


class Hallucination(Metric):
    """Semantic hallucinations among wrong top-1 titles; needs embeddings of the titles."""

    name = "hallucination"
    compares_baseline = True
    figures: ClassVar[Mapping[str, Figure]] = {
        "semantic_share": Figure(
            "semantic hallucination", "lower", ("hallucinated", "wrong"), ratio, "sem.\nhall.", "embeddings"
        ),
        "mean_similarity": Figure("similarity of wrong titles", feature="embeddings"),
        "repeated": Figure("wrong titles of the history", feature="embeddings"),
    }

    def rows(self, ranking: CatalogueRanking) -> dict[str, np.ndarray]:
        top1 = self._judge(ranking)
        if top1 is None:
            return {}
        return {"hallucinated": top1.hallucinated.astype(np.float64), "wrong": top1.wrong.astype(np.float64)}

    def record(self, ranking: CatalogueRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        top1 = self._judge(ranking)
        return {} if top1 is None else top1.metrics()

    def _judge(self, ranking: CatalogueRanking) -> Top1Titles | None:
        """Returns None if the titles were not embedded."""
        embeddings = ranking.features.embeddings
        if embeddings is None:
            return None
        return judge_top1_titles(ranking.titles, ranking.target_title, ranking.rows, ranking.dataset.items, embeddings)
