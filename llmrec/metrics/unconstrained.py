"""Metrics of texts that a model generates without the trie."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.list_accuracy import list_accuracy
from llmrec.metrics.base import Figure, Metric, ratio
from llmrec.metrics.ranking import CandidateRanking, CatalogueRanking, ListRanking


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


class Answers(Metric):
    """How often unconstrained greedy generation yields one of the candidates, and how often the target."""

    name = "unconstrained"
    figures: ClassVar[Mapping[str, Figure]] = {
        "hr@1": Figure("HR@1, generated", "higher", ("hr@1",), heading="gen.\nHR@1"),
        "valid_ratio": Figure("valid ratio", "higher", ("valid_ratio",), heading="valid\nratio"),
        "hr@1_of_valid": Figure("HR@1 of valid", "higher", ("hr@1", "valid_ratio"), ratio),
    }

    def rows(self, ranking: CandidateRanking) -> dict[str, np.ndarray]:
        if ranking.answer is None:
            return {}
        is_hit = ranking.answer == ranking.target_title
        return {"hr@1": is_hit.astype(np.float64), "valid_ratio": (ranking.answer >= 0).astype(np.float64)}

    def record(self, ranking: CandidateRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns hr@1 over all rows, as S-DPO's code computes it; the share of rows with a valid answer; hr@1 over
        these rows, as LLaRA's code computes it, which is left out if there are none; and the number of rows."""
        if not rows:
            return {}
        figures = {name: float(values.mean()) for name, values in rows.items()}
        if rows["valid_ratio"].any():
            figures["hr@1_of_valid"] = float(rows["hr@1"].sum() / rows["valid_ratio"].sum())
        return figures | {"rows": len(ranking.rows)}


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
