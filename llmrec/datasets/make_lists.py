"""Makes the candidate lists of task rerank from events with ratings, or from rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.lists import ListRule, Lists
from llmrec.datasets.negatives import UserTitles, sample_negatives
from llmrec.datasets.repeats import run_starts


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
    earlier = run_starts(events.user, events.timestamp) - run_starts(events.user)
    inside = (events.timestamp > period[0]) & (events.timestamp <= period[1])
    usable = np.flatnonzero(inside & (earlier >= rule.min_history))
    user = events.user[usable]
    number = np.arange(len(usable)) - run_starts(user)
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
    end = run_starts(events.user, events.timestamp)[first]
    start = np.maximum(run_starts(events.user)[first], end - max_history)
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
