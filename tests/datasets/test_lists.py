"""Candidate lists from events: small examples computed by hand, and properties that hold for all lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.lists import ListRule, Lists
from llmrec.datasets.make_lists import lists_report, next_item_lists, rated_lists
from llmrec.datasets.negatives import UserTitles, sample_negatives
from llmrec.errors import InputError
from tests.datasets.layouts import rows

Event = tuple[int, int, float]
ALWAYS = (-np.inf, np.inf)
ITEMS = Items([str(number) for number in range(20)], [f"Title {number}" for number in range(20)])
ANNA: list[Event] = [
    (0, 1, 3), (1, 2, 1), (2, 2, 5), (3, 3, 4), (4, 4, 2), (5, 4, 1), (6, 5, 3), (7, 6, 5), (8, 7, 1),
]  # fmt: skip
"""Events as (item, timestamp, rating)."""
BEN: list[Event] = [(0, 1, 1), (1, 2, 2), (2, 3, 3), (3, 4, 3), (4, 5, 1)]


def table(*users: Sequence[Event]) -> Interactions:
    """Builds events of users a, b, ... from (item, timestamp, rating)."""
    user = np.repeat(np.arange(len(users)), [len(events) for events in users]).astype(np.int32)
    item, second, rating = (np.array(column) for column in zip(*(e for events in users for e in events), strict=True))
    names = np.array([chr(ord("a") + number) for number in range(len(users))])
    return Interactions(names, user, item.astype(np.int32), second.astype(np.int64), rating.astype(np.float32))


def rule(**changes: Any) -> ListRule:
    given = {"candidates": 2, "negatives": 0, "by_ratings": True, "seed": 0, "min_history": 2, "max_history": 3}
    return ListRule(**{**given, **changes})


def made(
    events: Interactions, period: tuple[float, float] = ALWAYS, items: Items = ITEMS, seed: int = 0, **changes: Any
) -> tuple[Lists, dict[str, int]]:
    return rated_lists(events, period, items, rule(**changes), np.random.default_rng(seed))


def content(lists: Lists) -> list[tuple[str, int, list[int], list[float], dict[int, float], int]]:
    """Returns user, timestamp, history, its ratings, relevance by candidate, and target of each list."""
    found = []
    for row in range(len(lists)):
        ratings = lists.ratings_of(row)
        assert ratings is not None
        relevance = dict(zip(lists.candidates[row].tolist(), lists.relevance[row].tolist(), strict=True))
        first = (str(lists.rows.user[row]), int(lists.rows.timestamp[row]), lists.rows.history_of(row).tolist())
        found.append((*first, ratings.tolist(), relevance, int(lists.rows.target[row])))
    return found


def test_lists_by_hand() -> None:
    lists, counts = made(table(ANNA, BEN))
    # Items 1 and 2 of the same second have one event before them, item 3 has three. Items 4 and 5 share a second too:
    # the second list begins with item 5, whose history must not say that 4 was seen.
    assert content(lists) == [
        ("a", 3, [0, 1, 2], [3, 1, 5], {3: 4, 4: 2}, 3),
        ("a", 4, [1, 2, 3], [1, 5, 4], {5: 1, 6: 3}, 6),
        ("a", 6, [4, 5, 6], [2, 1, 3], {7: 5, 8: 1}, 7),
    ]
    # Of Ben's three events with a history two are rated alike, and one is left over.
    assert counts == {
        "events_without_history": 5,
        "events_left_over": 1,
        "lists_of_equal_ratings": 1,
        "lists_with_a_title_twice": 0,
        "history_reaches_past_the_cut": 0,
        "history_not_before_the_list": 0,
    }


def test_a_period_begins_after_its_first_second_and_holds_its_last() -> None:
    lists, counts = made(table(ANNA), period=(3, 6))
    assert content(lists) == [
        ("a", 4, [1, 2, 3], [1, 5, 4], {4: 2, 5: 1}, 4),
        ("a", 5, [3, 4, 5], [4, 2, 1], {6: 3, 7: 5}, 7),
    ]
    # The second list's history holds events of the period itself.
    assert (counts["history_reaches_past_the_cut"], counts["events_left_over"]) == (1, 0)
    assert counts["events_without_history"] == 0


def test_a_period_without_events_has_no_lists() -> None:
    lists, counts = made(table(ANNA, BEN), period=(100, np.inf))
    assert (len(lists), sum(counts.values())) == (0, 0)
    assert lists.candidates.shape == (0, 2)


@pytest.mark.parametrize(("least", "first"), [(1, 2), (3, 3), (4, 4)])
def test_the_least_history_counts_events_of_earlier_seconds(least: int, first: int) -> None:
    lists, counts = made(table(ANNA), min_history=least, max_history=9)
    assert lists.rows.timestamp[0] == first
    assert counts["events_without_history"] == [event[1] for event in ANNA].index(first)
    assert lists.rows.history_of(0).tolist() == [event[0] for event in ANNA if event[1] < first]


def test_a_rest_too_short_for_a_list_is_left_over() -> None:
    lists, counts = made(table(ANNA, BEN), candidates=4)
    assert [sorted(candidates) for candidates in lists.candidates.tolist()] == [[3, 4, 5, 6]]
    assert counts["events_left_over"] == 2 + 3


def test_equal_ratings_make_a_list_where_there_are_negatives() -> None:
    lists, counts = made(table(BEN), candidates=4, negatives=2)
    assert sorted(lists.relevance[0].tolist()) == [0, 0, 3, 3]
    assert counts["lists_of_equal_ratings"] == 0
    assert made(table(BEN))[1]["lists_of_equal_ratings"] == 1


def test_a_list_of_one_event_among_negatives() -> None:
    lists, _ = made(table(BEN), candidates=4, negatives=3)
    assert lists.rows.target.tolist() == [2, 3, 4]
    assert np.sort(lists.relevance, axis=1).tolist() == [[0, 0, 0, 3], [0, 0, 0, 3], [0, 0, 0, 1]]


def test_a_title_twice_excludes_the_list_alone() -> None:
    items = Items(ITEMS.ids, [title.replace("Title 4", "Title 3") for title in ITEMS.titles])
    lists, counts = made(table(ANNA), items=items)
    assert [row[1] for row in content(lists)] == [4, 6]
    assert counts["lists_with_a_title_twice"] == 1


def test_the_first_of_the_best_is_the_target() -> None:
    events = table([(0, 1, 3), (1, 2, 3), (7, 3, 2), (5, 4, 4), (6, 5, 4)])
    assert made(events, candidates=3)[0].rows.target.tolist() == [5]


def many_events(seed: int) -> tuple[Interactions, Items]:
    """Events of 26 users with few distinct timestamps. Each event has its own item, and five items share a title."""
    rng = np.random.default_rng(seed)
    users = [
        [(0, int(second), float(rng.integers(1, 6))) for second in np.sort(rng.integers(0, 25, rng.integers(1, 50)))]
        for _ in range(26)
    ]
    events = table(*users)
    number = np.arange(len(events), dtype=np.int32)
    items = Items([str(n) for n in number], [f"Title {n}" for n in rng.integers(0, len(events) // 5, len(events))])
    return Interactions(events.user_ids, events.user, number, events.timestamp, events.rating), items


@pytest.mark.parametrize(("seed", "size"), [(0, 2), (1, 3), (2, 5)])
def test_on_any_events_histories_lie_before_and_lists_apart(seed: int, size: int) -> None:
    events, items = many_events(seed)
    lists, counts = made(events, period=(8, 16), items=items, candidates=size, min_history=3, max_history=6)
    assert events.rating is not None
    assert len(lists) > 20
    assert len(np.unique(lists.candidates)) == lists.candidates.size
    for row, candidates in enumerate(lists.candidates):
        own = np.flatnonzero(events.user_ids[events.user] == lists.rows.user[row])
        first = events.timestamp[candidates].min()
        before = own[events.timestamp[own] < first]
        assert len(before) >= 3
        assert lists.rows.history_of(row).tolist() == before[-6:].tolist()
        ratings = lists.ratings_of(row)
        assert ratings is not None
        assert ratings.tolist() == events.rating[before[-6:]].tolist()
        # Consecutive events of the user, inside the period.
        assert np.sort(candidates).tolist() == list(range(candidates.min(), candidates.min() + size))
        assert np.isin(candidates, own).all()
        assert events.timestamp[candidates].min() > 8
        assert events.timestamp[candidates].max() <= 16
        assert np.array_equal(lists.relevance[row], events.rating[candidates])
        assert lists.relevance[row].max() > lists.relevance[row].min()
        assert lists.rows.timestamp[row] == first
        assert events.rating[lists.rows.target[row]] == lists.relevance[row].max()
        assert len(set(items.title_of[candidates])) == size
    left_out = counts["events_left_over"] + counts["events_without_history"]
    left_out += size * (counts["lists_of_equal_ratings"] + counts["lists_with_a_title_twice"])
    inside = int(((events.timestamp > 8) & (events.timestamp <= 16)).sum())
    assert lists.candidates.size + left_out == inside
    assert counts["history_not_before_the_list"] == 0


def test_negatives_are_titles_that_the_user_has_not_taken_by_the_periods_end() -> None:
    # Of ten titles the first five stand on two items each.
    items = Items([str(n) for n in range(15)], [f"Title {n % 10}" for n in range(15)])
    # Anna takes Titles 0 and 6, and Title 2 after the period, of which lists inside it must not know.
    events = table([(0, 1, 1), (6, 2, 2), (10, 3, 3), (0, 4, 4), (12, 50, 5)], [(3, 1, 1), (3, 2, 2), (3, 3, 3)])
    drawn: dict[str, set[int]] = {"a": set(), "b": set()}
    for seed in range(30):
        lists, _ = made(events, (0, 9), items, seed, candidates=6, negatives=5, min_history=1)
        assert (lists.relevance == 0).sum(axis=1).tolist() == [5] * 5
        for row, (candidates, relevance) in enumerate(zip(lists.candidates, lists.relevance, strict=True)):
            assert len(set(items.title_of[candidates])) == 6
            drawn[str(lists.rows.user[row])] |= set(candidates[relevance == 0].tolist())
    assert drawn["a"] == set(range(15)) - {0, 6, 10}
    assert drawn["b"] == set(range(15)) - {3, 13}


def test_negatives_are_drawn_by_item_where_some_share_a_title() -> None:
    items = Items(list("abcd"), ["One", "Two", "Two", "Two"])
    drawn = sample_negatives(np.array(["u"] * 400), taken({"v": {0}}), items, 1, np.random.default_rng(0))
    assert 0.18 < (drawn == 0).mean() < 0.32
    assert drawn.dtype == np.int32


@pytest.mark.parametrize("count", [1, 3])
def test_a_catalogue_with_too_few_titles_is_refused(count: int) -> None:
    items = Items([str(n) for n in range(6)], ["A", "B", "C", "C", "D", "E"])
    # A user without a list may have interacted with all titles.
    fewer, more = (taken({"u": set(range(left - count)), "v": set(range(5))}) for left in (5, 6))
    drawn = sample_negatives(np.array(["u"]), fewer, items, count, _rng())
    assert drawn.shape == (1, count)
    message = rf"{count} sampled .* a user has interacted with {6 - count} of .* 5 titles\. Lower task\.candidates"
    with pytest.raises(InputError, match=message):
        sample_negatives(np.array(["u"]), more, items, count, _rng())


def test_the_order_shown_is_drawn_by_the_seed_and_says_nothing() -> None:
    events, items = many_events(0)
    lists, other = (made(events, items=items, seed=seed, candidates=3)[0] for seed in (0, 1))
    again, _ = made(events, items=items, seed=0, candidates=3)
    assert again.candidates.tolist() == lists.candidates.tolist() != other.candidates.tolist()
    assert content(lists) == content(again) == content(other)
    target_at = (lists.candidates == lists.rows.target[:, None]).mean(axis=0)
    assert (np.abs(target_at - 1 / 3) < 0.1).all()


def test_next_item_lists() -> None:
    given = rows(("u", [1, 2], 3, 10), ("v", [0], 1, 11), ("u", [2, 3], 4, 12))
    theirs = {"u": {1, 2, 3, 4}, "v": {0, 1}}
    known = [given.take(np.array([0, 1])), given.take(np.array([2]))]
    lists = next_item_lists(given, known, ITEMS, rule(candidates=16, negatives=15, by_ratings=False), _rng())
    assert lists.rows is given
    assert lists.history_rating is None
    assert lists.ratings_of(0) is None
    assert lists.candidates[lists.relevance == 1].tolist() == [3, 1, 4]
    assert lists.relevance.sum(axis=1).tolist() == [1, 1, 1]
    for row, user in enumerate(given.user):
        negatives = set(lists.candidates[row][lists.relevance[row] == 0].tolist())
        assert len(negatives) == 15
        assert not negatives & theirs[user]


def test_what_comes_after_the_period_shapes_no_list() -> None:
    events, items = many_events(0)
    settings = {"candidates": 4, "negatives": 2, "min_history": 2}
    whole, _ = made(events, period=(4, 10), items=items, **settings)
    until, _ = made(events.take(events.timestamp <= 10), period=(4, 10), items=items, **settings)
    assert whole.candidates.tolist() == until.candidates.tolist()
    assert whole.relevance.tolist() == until.relevance.tolist()


GRADED = Lists(
    rows(("u", [5], 2, 10), ("v", [6, 7], 0, 11), ("w", [8, 9, 10], 3, 12)),
    np.array([1, 2, 3, 4, 5, 6], dtype=np.float32),
    np.array([[1, 2, 3, 4], [0, 1, 2, 3], [3, 2, 1, 0]], dtype=np.int32),
    np.array([[1, 5, 3, 5], [2, 0, 0, 0], [3.5, 1, 2, 0]], dtype=np.float32),
)


def test_lists_are_taken_with_their_histories() -> None:
    taken = GRADED.take(np.array([2, 0, 2]))
    assert taken.rows.user.tolist() == ["w", "u", "w"]
    assert taken.candidates.tolist() == [[3, 2, 1, 0], [1, 2, 3, 4], [3, 2, 1, 0]]
    assert taken.relevance[0].tolist() == [3.5, 1, 2, 0]
    for row, ratings in enumerate(([4, 5, 6], [1], [4, 5, 6])):
        np.testing.assert_array_equal(taken.ratings_of(row), ratings)
    nothing = GRADED.take(np.zeros(0, dtype=np.int64))
    assert nothing.history_rating is not None
    assert (len(nothing), len(nothing.history_rating)) == (0, 0)


def test_gains() -> None:
    assert GRADED.gains[:2].tolist() == [[1, 31, 7, 31], [3, 0, 0, 0]]
    assert GRADED.gains[2, 0] == pytest.approx(2**3.5 - 1)


def test_lists_in_another_order() -> None:
    order = np.array([[3, 0, 1, 2], [0, 1, 2, 3], [1, 0, 3, 2]])
    shown = GRADED.reordered(order)
    assert shown.candidates.tolist() == [[4, 1, 2, 3], [0, 1, 2, 3], [2, 3, 0, 1]]
    assert shown.relevance.tolist() == [[5, 1, 5, 3], [2, 0, 0, 0], [1, 3.5, 0, 2]]
    assert shown.reordered(order.argsort(axis=1)).candidates.tolist() == GRADED.candidates.tolist()


def test_target_orders_go_by_relevance_and_shuffle_ties() -> None:
    orders = [GRADED.target_order(seed) for seed in range(20)]
    assert np.array_equal(orders[0], GRADED.target_order(0))
    for order in orders:
        ranked = np.take_along_axis(GRADED.relevance, order, 1)
        assert ranked.tolist() == [[5, 5, 3, 1], [2, 0, 0, 0], [3.5, 2, 1, 0]]
        assert np.sort(order, axis=1).tolist() == [[0, 1, 2, 3]] * 3
    assert {tuple(order[0]) for order in orders} == {(1, 3, 2, 0), (3, 1, 2, 0)}
    assert len({tuple(order[1]) for order in orders}) > 3


def test_the_report_says_what_training_never_saw() -> None:
    # The training rows contain items 1, 2, 3, 5 and 8.
    histories = rows(("u", [4], 2, 10), ("v", [6, 7], 0, 11), ("w", [0, 9, 10], 3, 12))
    report = lists_report(replace(GRADED, rows=histories), rows(("u", [5, 8], 1, 1), ("v", [2], 3, 2)), ITEMS)
    assert report == {
        "lists": 3,
        "users": 3,
        "lists_with_a_candidate_in_the_history": 2,
        "candidates_never_seen_in_train": 3,
        "best_never_seen_in_train": 1,
    }


def taken(titles: Mapping[str, set[int]]) -> UserTitles:
    """Builds pairs of users and titles from the titles of each user."""
    pairs = [(user, title) for user, of in titles.items() for title in sorted(of)]
    return UserTitles(np.array([user for user, _ in pairs]), np.array([title for _, title in pairs]))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
