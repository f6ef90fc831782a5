"""Candidate lists of task rerank: a history, candidates with graded relevance, an order in which they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.errors import InputError


@dataclass(frozen=True)
class Lists:
    """Lists of m candidates each.

    rows: by list, the user's history before it, its best candidate as the target, the time of its first event;
    history_rating: float32 [history], flat as rows.history, None where the set has no ratings; candidates: int32
    [lists, m], items in the order in which they are shown; relevance: float32 [lists, m], their ratings, 0 for sampled
    negatives (without ratings: 1 for the next item, 0 for the others).
    """

    rows: Rows
    history_rating: np.ndarray | None
    candidates: np.ndarray
    relevance: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def gains(self) -> np.ndarray:
        """float64 [lists, m]: 2^relevance - 1."""
        return np.exp2(self.relevance.astype(np.float64)) - 1

    def take(self, index: np.ndarray) -> "Lists":
        """The lists at `index` (int positions), in that order."""
        rating = self.history_rating
        if rating is not None:
            rating = rating[self.rows.flat(index)]
        return Lists(self.rows.take(index), rating, self.candidates[index], self.relevance[index])

    def ratings_of(self, row: int) -> np.ndarray | None:
        """The ratings of one list's history, oldest first."""
        if self.history_rating is None:
            return None
        return self.history_rating[self.rows.offsets[row] : self.rows.offsets[row + 1]]

    def shown(self, order: np.ndarray) -> "Lists":
        """The same lists with the candidate order[l, place] of each shown at `place`; order: int [lists, m]."""
        candidates, relevance = (np.take_along_axis(part, order, 1) for part in (self.candidates, self.relevance))
        return replace(self, candidates=candidates, relevance=relevance)

    def target_order(self, seed: int) -> np.ndarray:
        """int64 [lists, m]: places of the candidates, the most relevant first, equal ones shuffled by the seed."""
        ties = np.random.default_rng(seed).random(self.relevance.shape)
        return np.lexsort((ties, -self.relevance))


@dataclass(frozen=True)
class ListRule:
    """How lists are made: the settings of task rerank, and those of the dataset that they need.

    candidates: m; negatives: of them sampled; by_ratings: relevance is the rating, else the next item's 1.
    """

    candidates: int
    negatives: int
    by_ratings: bool
    seed: int
    min_history: int
    max_history: int


def rated_lists(
    events: Interactions, period: tuple[float, float], items: Items, rule: ListRule, rng: np.random.Generator
) -> tuple[Lists, dict[str, int]]:
    """Disjoint lists of consecutive events of a user inside a period, and what was counted.

    events: with ratings, by user and time, ties in the order of the file; period: after its first, until its second
    timestamp. Counted from the user's first event that has `min_history` events of earlier seconds, so many events as
    a list holds make the next list; a rest too short for one is left out, as are lists whose ratings are all equal and
    lists with a title twice. The history is the last `max_history` events of seconds before the list's first event, of
    whichever split.
    """
    assert events.rating is not None
    members, left_over = _consecutive(events, period, rule)
    ratings, titles = events.rating[members], np.sort(items.title_of[events.item[members]], axis=1)
    repeated = (titles[:, 1:] == titles[:, :-1]).any(axis=1)
    equal = (ratings == ratings[:, :1]).all(axis=1) & (rule.negatives == 0)
    kept = members[~repeated & ~equal]
    rows, history, latest = _before(events, kept, rule.max_history)
    # Without negatives nobody asks.
    known = events.take((events.timestamp <= period[1]) & (rule.negatives > 0))
    taken = Taken(known.user_ids[known.user], items.title_of[known.item])
    negatives = sample_negatives(rows.user, taken, items, rule.negatives, rng)
    lists = _shuffled(rows, events.rating[history], events.item[kept], negatives, events.rating[kept], rng)
    counts = left_over | {
        "lists_of_equal_ratings": int((equal & ~repeated).sum()),
        "lists_with_a_title_twice": int(repeated.sum()),
        "history_reaches_past_the_cut": int((latest > period[0]).sum()) if np.isfinite(period[0]) else 0,
        "history_not_before_the_list": int((latest >= rows.timestamp).sum()),
    }
    return lists, counts


def next_item_lists(rows: Rows, known: Sequence[Rows], items: Items, rule: ListRule, rng: np.random.Generator) -> Lists:
    """One list for each row: its target, with relevance 1, among sampled items; known: see `sample_negatives`."""
    user = np.concatenate([part for of in known for part in (of.user, of.user[of.history_row])])
    item = np.concatenate([part for of in known for part in (of.target, of.history)])
    taken = Taken(user, items.title_of[item])
    negatives = sample_negatives(rows.user, taken, items, rule.negatives, rng)
    return _shuffled(rows, None, rows.target[:, None], negatives, np.ones((len(rows), 1)), rng)


@dataclass(frozen=True)
class Taken:
    """Pairs of a user and a distinct title that the user took; user: str [n], title: int [n]."""

    user: np.ndarray
    title: np.ndarray


def sample_negatives(user: np.ndarray, taken: Taken, items: Items, count: int, rng: np.random.Generator) -> np.ndarray:
    """int32 [lists, count]: items drawn uniformly, of different titles, none of which the list's user took.

    taken: what is known at the end of the split's period, for what comes later must not shape a list. Raises
    InputError where the catalogue has too few other titles.
    """
    if not count:
        return np.zeros((len(user), 0), dtype=np.int32)
    names, of_list = np.unique(user, return_inverse=True)
    titles, place = len(items.distinct_titles), np.searchsorted(names, taken.user).clip(max=len(names) - 1)
    mine = names[place] == taken.user
    forbidden = np.unique(place[mine].astype(np.int64) * titles + taken.title[mine])
    most = int(np.bincount(forbidden // titles, minlength=1).max())
    if titles - most < count:
        raise InputError(
            f"{count} sampled candidates are asked for, but a user has taken {most} of the catalogue's {titles} "
            "titles: lower task.candidates or task.negatives"
        )
    drawn = rng.integers(len(items), size=(len(user), count))
    again = np.ones(len(user), dtype=bool)
    while again.any():
        keys = of_list[again, None] * titles + items.title_of[drawn[again]].astype(np.int64)
        bad = np.isin(keys, forbidden) | _repeats(keys)
        part = drawn[again]
        part[bad] = rng.integers(len(items), size=int(bad.sum()))
        drawn[again], again[again] = part, bad.any(axis=1)
    return drawn.astype(np.int32)


def lists_report(lists: Lists, train: Rows, items: Items) -> dict[str, Any]:
    """What a reader of results should know about the lists of a split; train: the rows that models learn from."""
    known = np.unique(np.concatenate([train.history, train.target]))
    return {
        "lists": len(lists),
        "users": len(np.unique(lists.rows.user)),
        "lists_with_a_candidate_in_the_history": _in_history(lists, items),
        "candidates_never_seen_in_train": int((~np.isin(lists.candidates, known)).sum()),
        "best_never_seen_in_train": int((~np.isin(lists.rows.target, known)).sum()),
    }


def _consecutive(
    events: Interactions, period: tuple[float, float], rule: ListRule
) -> tuple[np.ndarray, dict[str, int]]:
    """int64 [lists, rated]: the positions of each list's events, and how many events came into none."""
    size = rule.candidates - rule.negatives
    earlier = _first_of_run(events.user, events.timestamp) - _first_of_run(events.user)
    inside = (events.timestamp > period[0]) & (events.timestamp <= period[1])
    usable = np.flatnonzero(inside & (earlier >= rule.min_history))
    user = events.user[usable]
    number = np.arange(len(usable)) - _first_of_run(user)
    lists = np.bincount(user, minlength=len(events.user_ids))[user] // size
    members = usable[number // size < lists].reshape(-1, size)
    return members, {
        "events_without_history": int((inside & (earlier < rule.min_history)).sum()),
        "events_left_over": len(usable) - members.size,
    }


def _before(events: Interactions, members: np.ndarray, max_history: int) -> tuple[Rows, np.ndarray, np.ndarray]:
    """The rows of lists, the positions of their histories' events, flat, and the time of each history's last event."""
    assert events.rating is not None
    first = members[:, 0]
    end = _first_of_run(events.user, events.timestamp)[first]
    start = np.maximum(_first_of_run(events.user)[first], end - max_history)
    offsets = np.r_[0, np.cumsum(end - start)]
    history = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], end - start)
    best = members[np.arange(len(members)), events.rating[members].argmax(axis=1)]
    user, target, time = events.user_ids[events.user[first]], events.item[best], events.timestamp[first]
    return Rows(user, events.item[history], offsets, target, time), history, events.timestamp[end - 1]


def _in_history(lists: Lists, items: Items) -> int:
    row = lists.rows.history_row
    seen = np.unique(row * len(items) + items.title_of[lists.rows.history])
    shown = np.arange(len(lists))[:, None] * len(items) + items.title_of[lists.candidates]
    return int(np.isin(shown, seen).any(axis=1).sum())


def _repeats(keys: np.ndarray) -> np.ndarray:
    """bool [n, m]: whether a key stands in an earlier column of its row too."""
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    repeated = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated


def _first_of_run(*keys: np.ndarray) -> np.ndarray:
    """int64 [n]: where the run of equal keys that each position belongs to begins."""
    changes = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        changes |= key[1:] != key[:-1]
    begins = np.r_[True, changes][: len(keys[0])]
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))


def _shuffled(
    rows: Rows,
    history_rating: np.ndarray | None,
    chosen: np.ndarray,
    negatives: np.ndarray,
    relevance: np.ndarray,
    rng: np.random.Generator,
) -> Lists:
    """The lists, their candidates in a random order: how they came says which is which."""
    candidates = np.concatenate([chosen, negatives], axis=1).astype(np.int32)
    graded = np.concatenate([relevance, np.zeros(negatives.shape)], axis=1).astype(np.float32)
    return Lists(rows, history_rating, candidates, graded).shown(rng.random(candidates.shape).argsort(axis=1))
