"""Which titles get room: parity of lists and histories by group, and how the lists spread over the catalogue."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.popularity import title_popularity
from llmrec.errors import InputError

PARITY_CUTOFFS = (5, 10)
BINS = 5


@dataclass(frozen=True)
class Groups:
    """How items belong to groups: entry j gives `weight[j]` of item `item[j]` to group `group[j]`.

    count: number of groups; item, group: int [entries]; weight: float [entries], 1 in sum over the entries of an item;
    names: of the groups, None for bins, which are known by their place.
    """

    count: int
    item: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    names: list[str] | None = None

    def shares(self, occurrences: np.ndarray) -> np.ndarray:
        """The share of each group in `occurrences`, float [items], not all 0: float64 [groups], 1 in sum."""
        weights = self.weight * occurrences[self.item]
        return np.bincount(self.group, weights=weights, minlength=self.count) / occurrences.sum()


def fairness(
    recommended: np.ndarray, rows: Rows, train: Rows, items: Items, relevance: np.ndarray | None
) -> dict[str, Any]:
    """What `spread` says of the whole lists and, by grouping ("popularity", "relevance", "category"), `group_parity`.

    recommended: int32 [users, K], distinct-title indices best first, -1 = no more; rows: those the lists are for;
    relevance: float [distinct titles], log-probability of a title after the prompt without a history under the
    dataset's reference model, None = not measured. Popularity: see `title_popularity`. Empty slots (-1) count nowhere,
    neither as a slot given nor in a denominator.
    Nothing undefined is in the result: {} when no list holds a title; no groupings when all histories are empty or
    the lists are shorter than 5; no bins when the catalogue has fewer titles than bins; no "category" without
    categories; nothing on relevance when it was not measured.
    Raises InputError when relevance is not one number for each distinct title.
    """
    titles = len(items.distinct_titles)
    if relevance is not None and (relevance.shape != (titles,) or np.isnan(relevance).any()):
        raise InputError(
            f"relevance must be one number for each of {titles} distinct titles, got shape {relevance.shape} with "
            f"{np.isnan(relevance).sum()} NaN: measure it on this catalogue"
        )
    slots = slot_counts(recommended, titles)
    if not slots.any():
        return {}
    popularity = title_popularity(train, items)
    measured: dict[str, Any] = dict(spread(slots, popularity, relevance))
    if recommended.shape[1] >= min(PARITY_CUTOFFS) and len(rows.history):
        for name, groups in groupings(items, popularity, relevance).items():
            measured[name] = group_parity(recommended, rows, items, groups)
    return measured


def slot_counts(recommended: np.ndarray, titles: int) -> np.ndarray:
    """How many slots were given to each title: int64 [titles]; empty slots (-1) are left out."""
    return np.bincount(recommended[recommended >= 0], minlength=titles)


def spread(slots: np.ndarray, popularity: np.ndarray, relevance: np.ndarray | None) -> dict[str, float]:
    """How given slots, int [titles] and not all 0, spread over the catalogue.

    Per given slot: head20_share and top20_relevance_share, the share that goes to the 20 % of titles that are most
    popular or most relevant (see `top20`; the second only with relevance); average_popularity, the mean popularity.
    Per distinct title of the catalogue: coverage, the share of titles given at least once; gini, see `gini`.
    Source: common measures, our reading.
    """
    given = slots.sum()
    measured = {
        "head20_share": slots @ top20(popularity) / given,
        "coverage": (slots > 0).mean(),
        "gini": gini(slots),
        "average_popularity": slots @ popularity / given,
    }
    if relevance is not None:
        measured["top20_relevance_share"] = slots @ top20(relevance) / given
    return {name: float(value) for name, value in measured.items()}


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of int counts, not all 0: 0 = all equal, (n - 1) / n = one of n takes everything."""
    n = len(counts)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(counts) / (n * counts.sum()))


def group_parity(recommended: np.ndarray, rows: Rows, items: Items, groups: Groups) -> dict[str, Any]:
    """How far the share of each group in the lists (GP) is from its share in the histories (GH): GU = GP - GH.

    mgu@K: mean of |GU| over all groups; dgu@K: largest GU less smallest; for K = 5 and 10, those within the list
    length; groups: their number. GP counts given slots of the top K, GH entries of the histories of `rows`, both over
    all users together. At the largest K, bins have gp@K and gh (floats [groups]), named groups gp_gh@K (name ->
    [gp, gh]). recommended: as in `fairness`, at least 5 wide, not all empty; rows: not all histories empty.
    Source: IFairLRS, arXiv 2402.15215, WWW 2024.
    """
    gh = groups.shares(np.bincount(rows.history, minlength=len(items)))
    measured: dict[str, Any] = {"groups": groups.count}
    cutoffs = [k for k in PARITY_CUTOFFS if k <= recommended.shape[1]]
    for k in cutoffs:
        slots = slot_counts(recommended[:, :k], len(items.distinct_titles))
        gp = groups.shares(over_items(slots, items))
        gu = gp - gh
        measured |= {f"mgu@{k}": float(np.abs(gu).mean()), f"dgu@{k}": float(gu.max() - gu.min())}
    # The loop ended with the largest cut-off, so gp is the one that the record keeps.
    if groups.names is None:
        return measured | {f"gp@{cutoffs[-1]}": gp.tolist(), "gh": gh.tolist()}
    both = np.stack([gp, gh], axis=1).tolist()
    return measured | {f"gp_gh@{cutoffs[-1]}": dict(zip(groups.names, both, strict=True))}


def row_counts(
    recommended: np.ndarray, rows: Rows, train: Rows, items: Items, relevance: np.ndarray | None
) -> dict[str, np.ndarray]:
    """What the measures by bins of titles are made of, row by row, so that users can be drawn anew.

    For popularity and, where it was measured, relevance, float64 [rows, 5] by bin: "<name>.slots@K", the given slots of
    the top K, K = 5 and 10, and "<name>.slots", of the whole list; "<name>.history", the entries of the history.
    Summed over rows they are what `group_parity` and `spread` take the shares of. Arguments: as in `fairness`; {} when
    the catalogue has fewer titles than bins.
    """
    values = {"popularity": title_popularity(train, items)} | ({} if relevance is None else {"relevance": relevance})
    counts = {}
    for name, value in values.items() if len(items.distinct_titles) >= BINS else ():
        # An empty slot is -1 and takes the row of zeros.
        shares = np.vstack([bin_shares(value), np.zeros(BINS)])
        for k in PARITY_CUTOFFS:
            counts[f"{name}.slots@{k}"] = shares[recommended[:, :k]].sum(axis=1)
        counts[f"{name}.slots"] = shares[recommended].sum(axis=1)
        of_history = shares[items.title_of[rows.history]].T
        entries = [np.bincount(rows.history_row, weights=share, minlength=len(rows)) for share in of_history]
        counts[f"{name}.history"] = np.stack(entries, axis=1)
    return counts


def over_items(slots: np.ndarray, items: Items) -> np.ndarray:
    """Slots of titles, int [titles], divided evenly among the items of each title: float64 [items]."""
    items_of_title = np.bincount(items.title_of, minlength=len(items.distinct_titles))
    return (slots / items_of_title)[items.title_of]


def groupings(items: Items, popularity: np.ndarray, relevance: np.ndarray | None) -> dict[str, Groups]:
    """The groupings that this catalogue has, by name; popularity, relevance: [distinct titles], as in `fairness`."""
    found = {}
    if len(popularity) >= BINS:
        found["popularity"] = bin_groups(popularity, items)
        if relevance is not None:
            found["relevance"] = bin_groups(relevance, items)
    if items.categories is not None:
        found["category"] = category_groups(items.categories)
    return found


def bin_groups(values: np.ndarray, items: Items) -> Groups:
    """Items by the bins of their titles; values: [distinct titles], the highest are in bin 0. See `bin_shares`."""
    shares = bin_shares(values)[items.title_of]
    item, group = np.nonzero(shares)
    return Groups(BINS, item, group, shares[item, group])


def category_groups(categories: list[list[str]]) -> Groups:
    """Items by category, in the order of first occurrence: one of n categories has 1/n of an item, "" one without any.

    Since `over_items` divides a title's slots among its items, a title stands for the mean over its items; an entry
    of a history counts by its own item. Source: our reading; the code of IFairLRS counts an item once per category.
    """
    listed = [own or [""] for own in categories]
    sizes = np.array([len(own) for own in listed])
    index: dict[str, int] = {}
    group = np.array([index.setdefault(name, len(index)) for own in listed for name in own])
    item = np.repeat(np.arange(len(listed)), sizes)
    return Groups(len(index), item, group, 1 / sizes[item], list(index))


def bin_shares(values: np.ndarray) -> np.ndarray:
    """float64 [titles, 5]: the share of each title in five bins of n / 5 titles, bin 0 the highest values.

    Equal values have equal shares: where a bin's edge falls among them, each counts in both bins, as it would on
    average if the ties were broken at random. With many titles that never occur in train the last bins are therefore
    alike, whatever the catalogue's order. Source of the five bins: IFairLRS, arXiv 2402.15215; of the rule: ours.
    """
    _, block, sizes = np.unique(-values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)[:, None]
    edges = np.arange(BINS + 1) * len(values) / BINS
    overlap = np.minimum(ends, edges[1:]) - np.maximum(ends - sizes[:, None], edges[:-1])
    shares: np.ndarray = (overlap.clip(min=0) / sizes[:, None])[block]
    return shares


def top20(values: np.ndarray) -> np.ndarray:
    """float64 [titles]: the share of each title in the 20 % of titles with the highest values; see `bin_shares`."""
    return bin_shares(values)[:, 0]
