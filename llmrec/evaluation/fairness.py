"""Exposure metrics: group parity between recommendations and histories, and concentration of recommendations.

The exposure of a title is the number of times it is recommended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError

PARITY_CUTOFFS = (5, 10)
BINS = 5
"""Number of popularity and relevance bins, as in IFairLRS (arXiv 2402.15215)."""


@dataclass(frozen=True)
class Groups:
    """Groups of items. Entry j assigns the share `weight[j]` of item `item[j]` to group `group[j]`.

    Attributes:
        count: Number of groups.
        item: int [entries].
        group: int [entries].
        weight: float [entries]; the weights of each item sum to 1.
        names: The names of the groups; None for bins, which are identified by their index.
    """

    count: int
    item: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    names: list[str] | None = None

    def shares(self, occurrences: np.ndarray) -> np.ndarray:
        """Computes the share of each group.

        Args:
            occurrences: Number of occurrences of each item, float [items], not all 0.

        Returns:
            float64 [groups], 1 in sum.
        """
        weights = self.weight * occurrences[self.item]
        return np.bincount(self.group, weights=weights, minlength=self.count) / occurrences.sum()


def fairness(
    recommended: np.ndarray, rows: Rows, items: Items, popularity: np.ndarray, relevance: np.ndarray | None
) -> dict[str, Any]:
    """Computes exposure metrics of recommendations.

    Undefined metrics are omitted: everything if no title is recommended; group parity if all histories are empty or the
    lists are shorter than 5; parity of bins if the catalogue has fewer titles than bins; "category" if the items have
    no categories; everything about relevance if it is None.

    Args:
        recommended: Distinct titles, best first, int32 [users, K]; -1 = no more. Empty positions (-1) are not counted,
            neither as exposure nor in a denominator.
        rows: The rows that the lists are for.
        items: The catalogue.
        popularity: Number of training users who have each title, int [distinct titles]; see `title_popularity`.
        relevance: Log-probability of each distinct title after the prompt without history, under the dataset's
            reference model, float [distinct titles]; None = not measured.

    Returns:
        The metrics of `exposure_metrics` and, for each grouping ("popularity", "relevance", "category"), those of
        `group_parity`.

    Raises:
        InputError: If relevance is not one number per distinct title.
    """
    titles = len(items.distinct_titles)
    if relevance is not None and (relevance.shape != (titles,) or np.isnan(relevance).any()):
        raise InputError(
            f"Expected relevance to be one number for each of {titles} distinct titles, got shape {relevance.shape} "
            f"with {np.isnan(relevance).sum()} NaN. Measure it on this catalogue."
        )
    length = recommended.shape[1]
    cutoffs = [k for k in PARITY_CUTOFFS if k <= length]
    exposures = {k: exposure_counts(recommended[:, :k], titles) for k in {*cutoffs, length}}
    if not exposures[length].any():
        return {}
    measured: dict[str, Any] = dict(exposure_metrics(exposures[length], popularity, relevance))
    if cutoffs and len(rows.history):
        for name, groups in groupings(items, popularity, relevance).items():
            measured[name] = group_parity({k: exposures[k] for k in cutoffs}, rows, items, groups)
    return measured


def exposure_counts(recommended: np.ndarray, titles: int) -> np.ndarray:
    """Counts how often each title is recommended, int64 [titles]; empty positions (-1) are not counted."""
    return np.bincount(recommended.ravel() + 1, minlength=titles + 1)[1:]


def exposure_metrics(exposure: np.ndarray, popularity: np.ndarray, relevance: np.ndarray | None) -> dict[str, float]:
    """Measures how recommendations are distributed over the catalogue.

    Source: common metrics; the definitions are our reading.

    Args:
        exposure: How often each title is recommended, int [titles], not all 0.
        popularity: int [titles].
        relevance: float [titles], or None.

    Returns:
        Over recommendations: head20_share and, with relevance, top20_relevance_share, the shares of the 20 % of titles
        that are most popular or most relevant (see `top20`); average_popularity, the mean popularity.
        Over distinct titles: coverage, the share that is recommended at least once; gini (see `gini`).
    """
    total = exposure.sum()
    measured = {
        "head20_share": exposure @ top20(popularity) / total,
        "coverage": (exposure > 0).mean(),
        "gini": gini(exposure),
        "average_popularity": exposure @ popularity / total,
    }
    if relevance is not None:
        measured["top20_relevance_share"] = exposure @ top20(relevance) / total
    return {name: float(value) for name, value in measured.items()}


def gini(counts: np.ndarray) -> float:
    """Computes the Gini coefficient of n int counts, not all 0: 0 = all equal, (n - 1) / n = one has everything."""
    n = len(counts)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(counts) / (n * counts.sum()))


def group_parity(exposures: Mapping[int, np.ndarray], rows: Rows, items: Items, groups: Groups) -> dict[str, Any]:
    """Compares the share of each group in the recommendations (GP) with its share in the histories (GH).

    GU = GP - GH. GP counts the recommendations of the top K, GH the entries of the histories of `rows`, both over all
    users together. Source: IFairLRS, arXiv 2402.15215, WWW 2024.

    Args:
        exposures: By cut-off K, ascending: how often each title is in the top K, int [distinct titles], not all 0.
        rows: The rows that the lists are for, not all with empty histories.
        items: The catalogue.
        groups: The groups.

    Returns:
        groups: Number of groups. For each K: mgu@K, the mean of |GU| over all groups, and dgu@K, the largest GU minus
        the smallest. For the largest K: gp@K and gh of bins, floats [groups], or gp_gh@K of named groups,
        name -> [GP, GH].
    """
    gh = groups.shares(np.bincount(rows.history, minlength=len(items)))
    measured: dict[str, Any] = {"groups": groups.count}
    for k, exposure in exposures.items():
        gp = groups.shares(exposure_by_item(exposure, items))
        gu = gp - gh
        measured |= {f"mgu@{k}": float(np.abs(gu).mean()), f"dgu@{k}": float(gu.max() - gu.min())}
    # The last iteration had the largest cut-off, whose gp is recorded.
    if groups.names is None:
        return measured | {f"gp@{k}": gp.tolist(), "gh": gh.tolist()}
    both = np.stack([gp, gh], axis=1).tolist()
    return measured | {f"gp_gh@{k}": dict(zip(groups.names, both, strict=True))}


def row_counts(
    recommended: np.ndarray, rows: Rows, items: Items, popularity: np.ndarray, relevance: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Returns the per-row counts that metrics by bins are computed from, for bootstrap resampling of users.

    Summed over rows, they are the counts whose shares `group_parity` and `exposure_metrics` compute. Arguments: as in
    `fairness`.

    Returns:
        For NAME "popularity" and, if relevance was measured, "relevance", float64 [rows, 5] by bin: NAME.exposure@K,
        the recommendations of the top K, for K = 5 and 10; NAME.exposure, those of the whole list; NAME.history, the
        entries of the history. {} if the catalogue has fewer titles than bins.
    """
    values = {"popularity": popularity} | ({} if relevance is None else {"relevance": relevance})
    counts = {}
    for name, value in values.items() if len(items.distinct_titles) >= BINS else ():
        # An empty position is -1, which selects the last row, the zeros.
        shares = np.vstack([bin_shares(value), np.zeros(BINS)])
        exposure = np.zeros((len(recommended), BINS))
        for length, titles in enumerate(recommended.T, start=1):
            exposure += shares[titles]
            for k in PARITY_CUTOFFS:
                if length == min(k, recommended.shape[1]):
                    counts[f"{name}.exposure@{k}"] = exposure.copy()
        counts[f"{name}.exposure"] = exposure
        history, has_history = np.zeros((len(rows), BINS)), np.diff(rows.offsets) > 0
        title = items.title_of[rows.history]
        for number, share in enumerate(shares.T):
            history[has_history, number] = np.add.reduceat(share[title], rows.offsets[:-1][has_history])
        counts[f"{name}.history"] = history
    return counts


def exposure_by_item(exposure: np.ndarray, items: Items) -> np.ndarray:
    """Divides the exposure of each title, int [titles], equally among its items: float64 [items]."""
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    return (exposure / items_of_title)[items.title_of]


def groupings(items: Items, popularity: np.ndarray, relevance: np.ndarray | None) -> dict[str, Groups]:
    """Returns the groupings that are defined for a catalogue, by name.

    popularity and relevance are [distinct titles], as in `fairness`.
    """
    found = {}
    if len(popularity) >= BINS:
        found["popularity"] = bin_groups(popularity, items)
        if relevance is not None:
            found["relevance"] = bin_groups(relevance, items)
    if items.categories is not None:
        found["category"] = category_groups(items.categories)
    return found


def bin_groups(values: np.ndarray, items: Items) -> Groups:
    """Groups items by the bins of their titles; see `bin_shares` for values, [distinct titles], and bins."""
    shares = bin_shares(values)[items.title_of]
    item, group = np.nonzero(shares)
    return Groups(BINS, item, group, shares[item, group])


def category_groups(categories: list[list[str]]) -> Groups:
    """Groups items by category, with categories in the order of first occurrence.

    An item with n categories counts 1/n in each; an item without categories counts in the category "". Since
    `exposure_by_item` divides a title's exposure among its items, a title counts as the mean over its items; an entry
    of a history counts by its own item. Source: our reading; the code of IFairLRS counts an item once per category.
    """
    listed = [names or [""] for names in categories]
    sizes = np.array([len(names) for names in listed])
    index: dict[str, int] = {}
    group = np.array([index.setdefault(name, len(index)) for names in listed for name in names])
    item = np.repeat(np.arange(len(listed)), sizes)
    return Groups(len(index), item, group, 1 / sizes[item], list(index))


def bin_shares(values: np.ndarray) -> np.ndarray:
    """Divides titles into five bins of n / 5 titles by their values.

    Titles with equal values have equal shares in the bins: if the edge of a bin falls among them, each counts partly in
    both bins, as it would on average if ties were broken at random. Hence, if many titles never occur in train, the
    last bins are equal, whatever the catalogue's order. Source: five bins, IFairLRS (arXiv 2402.15215); the rule for
    ties is ours.

    Args:
        values: [titles].

    Returns:
        The share of each title in each bin, float64 [titles, 5]; bin 0 has the highest values.
    """
    _, block, sizes = np.unique(-values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)[:, None]
    edges = np.arange(BINS + 1) * len(values) / BINS
    overlap = np.minimum(ends, edges[1:]) - np.maximum(ends - sizes[:, None], edges[:-1])
    shares: np.ndarray = (overlap.clip(min=0) / sizes[:, None])[block]
    return shares


def top20(values: np.ndarray) -> np.ndarray:
    """Returns each title's share in the 20 % of titles with the highest values, float64 [titles]; see `bin_shares`."""
    return bin_shares(values)[:, 0]
