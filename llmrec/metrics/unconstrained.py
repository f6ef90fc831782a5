"""Metrics of texts that a model generates without the trie."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.list_accuracy import list_accuracy
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.ranking import CatalogueRanking, ListRanking


class InvalidTitles(Metric):
    """How often unconstrained greedy generation yields a text that is no title of the catalogue."""

    name = "unconstrained"
    figures: ClassVar[Mapping[str, Figure]] = {
        "invalid_title_rate": Figure("invalid titles", "lower", ("invalid",), heading="invalid\ntitles"),
    }

    def rows(self, ranking: CatalogueRanking) -> dict[str, np.ndarray]:
        return {} if ranking.is_title is None else {"invalid": (~ranking.is_title).astype(np.float64)}

    def record(self, ranking: CatalogueRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        if ranking.is_title is None:
            return {}
        return {"invalid_title_rate": float(rows["invalid"].mean()), "rows": len(ranking.rows)}


class InvalidRankings(Metric):
    """How often unconstrained greedy generation yields a text that is no ranking, and how good the parsed ones are."""

    name = "unconstrained"
    figures: ClassVar[Mapping[str, Figure]] = {
        "parse_failure_rate": Figure("parse failures", "lower", ("invalid",), heading="parse\nfails"),
    }

    def rows(self, ranking: ListRanking) -> dict[str, np.ndarray]:
        return {} if ranking.is_invalid is None else {"invalid": ranking.is_invalid.astype(np.float64)}

    def record(self, ranking: ListRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        if ranking.unconstrained_order is None:
            return {}
        failures = {"parse_failure_rate": float(rows["invalid"].mean()), "lists": len(ranking.lists)}
        return failures | list_accuracy(ranking.unconstrained_order, ranking.lists)
