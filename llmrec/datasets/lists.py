"""Candidate lists of task rerank: a history and candidates with graded relevance, in the order they are shown in."""

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

    Attributes:
        rows: One row a list: the user's history before it, its most relevant candidate as the target, and the time of
            its first event.
        history_rating: Ratings aligned with `rows.history`, float32 [history]; None if the dataset has no ratings.
        candidates: Item indices in the order in which they are shown, int32 [lists, m].
        relevance: Relevance of each candidate, float32 [lists, m]: its rating, and 0 for sampled negatives; without
            ratings 1 for the next item and 0 for the others.
    """

    rows: Rows
    history_rating: np.ndarray | None
    candidates: np.ndarray
    relevance: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def gains(self) -> np.ndarray:
        """Gain of each candidate, 2^relevance - 1, float64 [lists, m]."""
        return np.exp2(self.relevance.astype(np.float64)) - 1

    def take(self, index: np.ndarray) -> "Lists":
        """Returns the lists at `index` (int positions), in that order."""
        rating = self.history_rating
        if rating is not None:
            rating = rating[self.rows.flat(index)]
        return Lists(self.rows.take(index), rating, self.candidates[index], self.relevance[index])

    def ratings_of(self, row: int) -> np.ndarray | None:
        """Returns the ratings of one list's history, oldest first; None if the dataset has no ratings."""
        if self.history_rating is None:
            return None
        return self.history_rating[self.rows.offsets[row] : self.rows.offsets[row + 1]]

    def reordered(self, order: np.ndarray) -> "Lists":
        """Returns the same lists with their candidates in another order.

        Args:
            order: The candidates in their new order, as positions in the present one, int [lists, m].
        """
        candidates, relevance = (np.take_along_axis(part, order, 1) for part in (self.candidates, self.relevance))
        return replace(self, candidates=candidates, relevance=relevance)

    def target_order(self, seed: int) -> np.ndarray:
        """Returns the candidates' positions by descending relevance, ties shuffled by the seed, int64 [lists, m]."""
        ties = np.random.default_rng(seed).random(self.relevance.shape)
        return np.lexsort((ties, -self.relevance))


@dataclass(frozen=True)
class ListRule:
    """How lists are made: settings of task rerank and of the dataset.

    Attributes:
        candidates: Candidates of a list (m).
        negatives: How many of them are sampled negatives.
        by_ratings: Whether relevance is the rating; otherwise it is 1 for the next item and 0 for the others.
        seed: Seed of the negatives and of the order in which candidates are shown.
        min_history: Minimum number of events before a list.
        max_history: Maximum length of a history.
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
    """Makes disjoint lists from consecutive events of a user within a period.

    A user's events count from the first one with at least `min_history` events of earlier timestamps. Each list takes
    the next `candidates - negatives` of them; a remainder too short for a list is dropped. Lists in which a title
    occurs twice are dropped and, without negatives, lists whose ratings are all equal. The history of a list is the
    last `max_history` events with timestamps before the list's first event, from whichever split.

    Args:
        events: Events with ratings, ordered by user and time, ties in file order.
        period: Start (exclusive) and end (inclusive) of the period, unix seconds.
        items: The catalogue.
        rule: How lists are made.
        rng: Draws the negatives and the order of the candidates.

    Returns:
        The lists, and counts of what was dropped or leaks for the leakage report.
    """
    assert events.rating is not None
    members, dropped = _group_events(events, period, rule)
    ratings, titles = events.rating[members], np.sort(items.title_of[events.item[members]], axis=1)
    repeated = (titles[:, 1:] == titles[:, :-1]).any(axis=1)
    equal = (ratings == ratings[:, :1]).all(axis=1) & (rule.negatives == 0)
    usable = members[~repeated & ~equal]
    rows, history, latest = _list_rows(events, usable, rule.max_history)
    # Known events are only needed to sample negatives.
    known = events.take((events.timestamp <= period[1]) & (rule.negatives > 0))
    interacted = UserTitles(known.user_ids[known.user], items.title_of[known.item])
    negatives = sample_negatives(rows.user, interacted, items, rule.negatives, rng)
    lists = _shuffle_candidates(
        rows, events.rating[history], events.item[usable], negatives, events.rating[usable], rng
    )
    counts = dropped | {
        "lists_of_equal_ratings": int((equal & ~repeated).sum()),
        "lists_with_a_title_twice": int(repeated.sum()),
        "history_reaches_past_the_cut": int((latest > period[0]).sum()) if np.isfinite(period[0]) else 0,
        "history_not_before_the_list": int((latest >= rows.timestamp).sum()),
    }
    return lists, counts


def next_item_lists(rows: Rows, known: Sequence[Rows], items: Items, rule: ListRule, rng: np.random.Generator) -> Lists:
    """Makes one list for each row: its target, with relevance 1, among sampled items.

    Args:
        rows: Rows of a split.
        known: Rows of this split and the earlier ones. What their users interacted with is not sampled for them.
        items: The catalogue.
        rule: How lists are made.
        rng: Draws the negatives and the order of the candidates.
    """
    user = np.concatenate([part for split in known for part in (split.user, split.user[split.history_row])])
    item = np.concatenate([part for split in known for part in (split.target, split.history)])
    interacted = UserTitles(user, items.title_of[item])
    negatives = sample_negatives(rows.user, interacted, items, rule.negatives, rng)
    return _shuffle_candidates(rows, None, rows.target[:, None], negatives, np.ones((len(rows), 1)), rng)


@dataclass(frozen=True)
class UserTitles:
    """Pairs of a user and a distinct title that the user interacted with.

    Attributes:
        user: User IDs, str [n].
        title: Distinct titles, int [n].
    """

    user: np.ndarray
    title: np.ndarray


def sample_negatives(
    user: np.ndarray, interacted: UserTitles, items: Items, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Samples items uniformly whose titles differ within a list and are new to the list's user.

    Args:
        user: The user of each list, str [lists].
        interacted: What is known at the end of the split's period. Later events must not influence a list.
        items: The catalogue.
        count: Negatives of each list.
        rng: The random generator.

    Returns:
        Item indices, int32 [lists, count].

    Raises:
        InputError: If the catalogue has fewer than `count` titles that are new to a user.
    """
    if not count:
        return np.zeros((len(user), 0), dtype=np.int32)
    list_users, user_of_list = np.unique(user, return_inverse=True)
    titles = len(items.distinct_titles)
    user_of_pair = np.searchsorted(list_users, interacted.user).clip(max=len(list_users) - 1)
    has_list = list_users[user_of_pair] == interacted.user
    forbidden = np.unique(user_of_pair[has_list].astype(np.int64) * titles + interacted.title[has_list])
    largest = int(np.bincount(forbidden // titles, minlength=1).max())
    if titles - largest < count:
        raise InputError(
            f"{count} sampled candidates per list are requested, but a user has interacted with {largest} of the "
            f"catalogue's {titles} titles. Lower task.candidates or task.negatives"
        )
    drawn = rng.integers(len(items), size=(len(user), count))
    pending = np.ones(len(user), dtype=bool)
    while pending.any():
        keys = user_of_list[pending, None] * titles + items.title_of[drawn[pending]].astype(np.int64)
        rejected = np.isin(keys, forbidden) | _is_repeated(keys)
        redrawn = drawn[pending]
        redrawn[rejected] = rng.integers(len(items), size=int(rejected.sum()))
        drawn[pending], pending[pending] = redrawn, rejected.any(axis=1)
    return drawn.astype(np.int32)


def lists_report(lists: Lists, train: Rows, items: Items) -> dict[str, Any]:
    """Counts what the leakage report tells of a split's lists.

    Args:
        lists: The lists of the split.
        train: The rows that models are trained on.
        items: The catalogue.
    """
    known = np.unique(np.concatenate([train.history, train.target]))
    return {
        "lists": len(lists),
        "users": len(np.unique(lists.rows.user)),
        "lists_with_a_candidate_in_the_history": _count_seen(lists, items),
        "candidates_never_seen_in_train": int((~np.isin(lists.candidates, known)).sum()),
        "best_never_seen_in_train": int((~np.isin(lists.rows.target, known)).sum()),
    }


def _group_events(
    events: Interactions, period: tuple[float, float], rule: ListRule
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns the positions of each list's events, int64 [lists, rated], and counts of the events in no list."""
    size = rule.candidates - rule.negatives
    earlier = _run_starts(events.user, events.timestamp) - _run_starts(events.user)
    inside = (events.timestamp > period[0]) & (events.timestamp <= period[1])
    usable = np.flatnonzero(inside & (earlier >= rule.min_history))
    user = events.user[usable]
    number = np.arange(len(usable)) - _run_starts(user)
    lists = np.bincount(user, minlength=len(events.user_ids))[user] // size
    members = usable[number // size < lists].reshape(-1, size)
    return members, {
        "events_without_history": int((inside & (earlier < rule.min_history)).sum()),
        "events_left_over": len(usable) - members.size,
    }


def _list_rows(events: Interactions, members: np.ndarray, max_history: int) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Returns the rows of lists, the positions of their history events (flat) and each history's last timestamp."""
    assert events.rating is not None
    first = members[:, 0]
    end = _run_starts(events.user, events.timestamp)[first]
    start = np.maximum(_run_starts(events.user)[first], end - max_history)
    offsets = np.r_[0, np.cumsum(end - start)]
    history = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], end - start)
    best = members[np.arange(len(members)), events.rating[members].argmax(axis=1)]
    user, target, time = events.user_ids[events.user[first]], events.item[best], events.timestamp[first]
    return Rows(user, events.item[history], offsets, target, time), history, events.timestamp[end - 1]


def _count_seen(lists: Lists, items: Items) -> int:
    """Counts the lists with a candidate whose title is in their history."""
    row = lists.rows.history_row
    seen = np.unique(row * len(items) + items.title_of[lists.rows.history])
    candidates = np.arange(len(lists))[:, None] * len(items) + items.title_of[lists.candidates]
    return int(np.isin(candidates, seen).any(axis=1).sum())


def _is_repeated(keys: np.ndarray) -> np.ndarray:
    """Returns whether each key occurs in an earlier column of its row, bool [n, m]."""
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    repeated = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated


def _run_starts(*keys: np.ndarray) -> np.ndarray:
    """Returns where the run of equal keys that contains each position starts, int64 [n]."""
    changes = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        changes |= key[1:] != key[:-1]
    is_start = np.r_[True, changes][: len(keys[0])]
    return np.maximum.accumulate(np.where(is_start, np.arange(len(is_start)), 0))


def _shuffle_candidates(
    rows: Rows,
    history_rating: np.ndarray | None,
    positives: np.ndarray,
    negatives: np.ndarray,
    relevance: np.ndarray,
    rng: np.random.Generator,
) -> Lists:
    """Builds lists with their candidates in random order, because the order they come in reveals the relevance."""
    candidates = np.concatenate([positives, negatives], axis=1).astype(np.int32)
    graded = np.concatenate([relevance, np.zeros(negatives.shape)], axis=1).astype(np.float32)
    return Lists(rows, history_rating, candidates, graded).reordered(rng.random(candidates.shape).argsort(axis=1))
