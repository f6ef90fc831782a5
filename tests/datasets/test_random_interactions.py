"""Random interactions are prepared as a model says that takes one user, one event and one window at a time."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.datasets.load import prepare
from llmrec.datasets.prepared import Prepared, read_interactions, read_prepared, write_prepared
from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_lines
from tests.datasets.read_back import EXAMPLES, shown, steady, values

SPLITS = ("train", "valid", "test")


class Event(NamedTuple):
    user: int
    item: int
    time: int


class Row(NamedTuple):
    """A window, and how many events of its user follow its target."""

    user: int
    history: list[int]
    target: int
    time: int
    left: int


EVENTS = st.lists(st.builds(Event, st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)), min_size=15, max_size=40)
SHARES = st.sampled_from([[0.8, 0.1, 0.1], [0.5, 0.25, 0.25], [0.7, 0.1, 0.2]])
SETTINGS = st.fixed_dictionaries(
    {
        "k_core": st.integers(1, 3),
        "min_history": st.integers(1, 3),
        "max_history": st.integers(3, 5),
        "split": st.one_of(SHARES, st.just("leave_one_out")),
    }
)


def core(events: list[Event], k: int) -> list[Event]:
    """The k-core: removes events one by one until each user and each item has k."""
    left = list(events)
    while True:
        users, items = [event.user for event in left], [event.item for event in left]
        bad = next((e for e in left if users.count(e.user) < k or items.count(e.item) < k), None)
        if bad is None:
            return left
        left.remove(bad)


def rows_of(events: list[Event], least: int, most: int) -> list[Row]:
    """The windows of each user, in the order of the users' first events."""
    rows = []
    for user in dict.fromkeys(event.user for event in events):
        own = sorted((event for event in events if event.user == user), key=lambda event: event.time)
        for number in range(least, len(own)):
            history = [event.item for event in own[max(0, number - most) : number]]
            rows.append(Row(user, history, own[number].item, own[number].time, len(own) - 1 - number))
    return rows


def splits_of(rows: list[Row], split: Any) -> list[list[Row]]:
    """The rows of each split in order of time."""
    by_time = sorted(rows, key=lambda row: row.time)
    if split == "leave_one_out":
        wanted = (lambda row: row.left > 1, lambda row: row.left == 1, lambda row: row.left == 0)
        return [[row for row in by_time if is_wanted(row)] for is_wanted in wanted]
    # In hundredths, so that no rounding error is left.
    first, second = (len(rows) * round(100 * share) // 100 for share in (split[0], split[0] + split[1]))
    return [by_time[:first], by_time[first:second], by_time[second:]]


def expected(events: list[Event], settings: dict[str, Any]) -> tuple[list[Event], list[list[Row]]]:
    """The events in the core and the rows of each split. Users keep the order of all their events."""
    left = core(events, settings["k_core"])
    order = list(dict.fromkeys(event.user for event in events))
    by_user = sorted(left, key=lambda event: (order.index(event.user), event.time))
    rows = rows_of(by_user, settings["min_history"], settings["max_history"])
    return by_user, splits_of(rows, settings["split"])


def check_set(found: Prepared, left: list[Event], splits: list[list[Row]]) -> None:
    ids = [f"i{item}" for item in sorted({event.item for event in left})]
    assert found.items.ids == ids
    assert found.items.titles == [f"Title {item}" for item in ids]
    for split, rows in zip(SPLITS, splits, strict=True):
        wanted = [(f"u{row.user}", [f"i{item}" for item in row.history], f"i{row.target}", row.time) for row in rows]
        assert shown(getattr(found, split), ids) == wanted


@pytest.mark.parametrize("examples", EXAMPLES)
def test_random_interactions_are_prepared_and_stored(examples: int) -> None:
    @steady(examples)
    @given(EVENTS, SETTINGS)
    def check(events: list[Event], settings: dict[str, Any]) -> None:
        left, splits = expected(events, settings)
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "own").mkdir()
            lines = [f"u{user},i{item},{time}" for user, item, time in events]
            write_lines(root / "own/interactions.csv", ["user,item,timestamp", *lines])
            write_lines(root / "own/items.csv", ["item,title", *(f"i{item},Title i{item}" for item in range(5))])
            dataset = group(name="own", source="real", **settings)
            source = locate(dataset, root, root / "cache")
            if not all(splits):
                with pytest.raises(InputError, match="a split would have no rows"):
                    prepare(source, dataset)
                return
            made = prepare(source, dataset)
            check_set(made, left, splits)
            write_prepared(made, root / "prepared")
            stored = read_prepared(root / "prepared", made.content_hash, root / "cache")
            check_set(stored, left, splits)
            assert stored.report == made.report
            read = read_interactions(root / "prepared", stored.items)
            assert read is not None
            assert values(stored.items, read).events == [
                (f"u{event.user}", f"i{event.item}", event.time, None) for event in left
            ]

    check()
