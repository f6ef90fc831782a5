"""Accuracy by slices of the rows."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.accuracy import title_ranks
from llmrec.evaluation.slices import by_slice, slices
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.ranking import CatalogueRanking


class Slices(Metric):
    """Accuracy by title of slices of the rows; see `slices`."""

    name = "slices"
    figures: ClassVar[Mapping[str, Figure]] = {}

    def record(self, ranking: CatalogueRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        ranks = title_ranks(ranking.titles, ranking.target_title)
        masks = slices(ranking.rows, ranking.dataset.train, ranking.dataset.items)
        return by_slice(ranks, ranking.users, masks, ranking.titles.shape[1])
