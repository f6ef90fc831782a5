"""Exposure metrics and group parity of catalogue rankings."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from llmrec.evaluation.fairness import PARITY_CUTOFFS, fairness, row_counts
from llmrec.metrics.base import Figure, Measure, Metric
from llmrec.metrics.ranking import CatalogueRanking


def mean_unfairness(parts: np.ndarray) -> np.ndarray:
    """Computes MGU from summed counts by bin, float [..., 2 * bins], exposure and then histories: float [...]."""
    found: np.ndarray = np.abs(_unfairness(parts)).mean(axis=-1)
    return found


def unfairness_range(parts: np.ndarray) -> np.ndarray:
    """Computes DGU from summed counts by bin, as `mean_unfairness`."""
    unfairness = _unfairness(parts)
    found: np.ndarray = unfairness.max(axis=-1) - unfairness.min(axis=-1)
    return found


def first_bin_share(parts: np.ndarray) -> np.ndarray:
    """Computes the share of the first bin from summed counts by bin, float [..., bins]."""
    with np.errstate(invalid="ignore"):
        found: np.ndarray = parts[..., 0] / parts.sum(axis=-1)
    return found


def _unfairness(parts: np.ndarray) -> np.ndarray:
    """Returns by bin the share of exposure minus the share of the histories."""
    exposure, histories = np.split(parts, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = exposure / exposure.sum(-1, keepdims=True) - histories / histories.sum(-1, keepdims=True)
    return found


def _parity_figures() -> dict[str, Figure]:
    kinds: dict[str, tuple[str, Measure]] = {"mgu": ("MGU", mean_unfairness), "dgu": ("DGU", unfairness_range)}
    headings = {"popularity.mgu@5": "MGU@5\npop.", "relevance.mgu@5": "MGU@5\nrel.", "popularity.dgu@5": "DGU@5\npop."}
    found = {}
    for kind, (label, measure) in kinds.items():
        for grouping in ("popularity", "relevance", "category"):
            for k in PARITY_CUTOFFS:
                path = f"{grouping}.{kind}@{k}"
                # Categories have no per-row counts.
                is_binned = grouping != "category"
                columns = (f"{grouping}.exposure@{k}", f"{grouping}.history") if is_binned else ()
                found[path] = Figure(
                    f"{label}@{k} {grouping}",
                    "lower",
                    columns,
                    measure if is_binned else None,
                    headings.get(path),
                    "relevance" if grouping == "relevance" else None,
                )
    return found


class Fairness(Metric):
    """Exposure metrics and group parity; see `fairness`."""

    name = "fairness"
    compares_baseline = True
    figures: ClassVar[Mapping[str, Figure]] = {
        **_parity_figures(),
        "head20_share": Figure(
            "top-20 % popularity share", None, ("popularity.exposure",), first_bin_share, "head\n20 %"
        ),
        "coverage": Figure("coverage", "higher", heading="cover-\nage"),
        "gini": Figure("Gini", "lower", heading="Gini"),
        "average_popularity": Figure("average popularity"),
        "top20_relevance_share": Figure(
            "top-20 % relevance share", None, ("relevance.exposure",), first_bin_share, "rel.\n20 %", "relevance"
        ),
    }

    def rows(self, ranking: CatalogueRanking) -> dict[str, np.ndarray]:
        dataset = ranking.dataset
        popularity, relevance = dataset.title_popularity, ranking.features.relevance
        return row_counts(ranking.titles, ranking.rows, dataset.items, popularity, relevance)

    def record(self, ranking: CatalogueRanking, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
        dataset = ranking.dataset
        popularity, relevance = dataset.title_popularity, ranking.features.relevance
        return fairness(ranking.titles, ranking.rows, dataset.items, popularity, relevance)

    def baseline_record(self, baseline: CatalogueRanking) -> dict[str, Any]:
        # The figures are computed without the per-row values, which take the most time and memory.
        return self.record(baseline, {})
