"""Readers of Steam, Yelp, Goodreads, Last.fm and LC-Rec: what they take, what they drop, and how they tell time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.leakage_summary import summary
from llmrec.datasets.prepared import Prepared
from llmrec.errors import InputError
from tests.datasets.dumps import DAY, ITEMS, events
from tests.datasets.layouts import prepared
from tests.datasets.review_dumps import (
    write_goodreads,
    write_goodreads_csv,
    write_json_lines,
    write_lastfm,
    write_lcrec,
    write_steam,
    write_yelp,
)

GOODREADS = "llmrec.datasets.readers.goodreads.Goodreads"


def shown(found: Prepared) -> set[tuple[str, str, int]]:
    """The events as (user, id of the item, time)."""
    assert found.interactions is not None
    taken: Interactions = found.interactions
    users, items = taken.user_ids[taken.user], [found.items.ids[item] for item in taken.item]
    return set(zip(users.tolist(), items, taken.timestamp.tolist(), strict=True))


def dropped(found: Prepared) -> dict[str, int]:
    """Why rows were dropped, without what did not occur."""
    return {reason: count for reason, count in found.report["dropped"].items() if count}


def test_steam(tmp_path: Path) -> None:
    write_steam(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "steam"
    assert sorted(found.items.titles) == [f"Game's {number}" for number in range(ITEMS)]
    assert found.items.categories is not None
    assert found.items.categories[found.items.ids.index("B0")] == ["Action"]
    assert shown(found) == {(user, item, time) for user, item, _, time in events()}
    assert found.interactions is not None
    assert found.interactions.rating is None
    assert dropped(found) == {
        "items without an id": 1,
        "items listed again": 1,
        "items without a title": 1,
        "events without a user, an item or a time": 1,
        "events of other items": 1,
        "repeated events": 1,
    }


def test_yelp(tmp_path: Path) -> None:
    write_yelp(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "yelp"
    titles = dict(zip(found.items.ids, found.items.titles, strict=True))
    assert titles == {f"B{number}": f"Café & {number}" + ", Reno" * (number != 1) for number in range(ITEMS)}
    assert found.items.categories is not None
    categories = dict(zip(found.items.ids, found.items.categories, strict=True))
    assert (categories["B0"], categories["B2"]) == (["Food", "Coffee & Tea"], [])
    assert shown(found) == {(user, item, time) for user, item, _, time in events()}
    assert found.interactions is not None
    assert found.interactions.rating is not None
    assert set(found.interactions.rating.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert dropped(found) == {"items without a title": 1, "repeated events": 1}


def goodreads_events(counts: Callable[[int], bool]) -> set[tuple[str, str, int]]:
    """The events that count by their number, without those of the book without a title."""
    return {
        (user, item, time) for number, (user, item, _, time) in enumerate(events()) if counts(number) and item != "B1"
    }


@pytest.mark.parametrize(
    ("choice", "counts", "excluded"),
    [
        ("read", lambda number: number % 5 > 0, {"events of books not read": 24}),
        ("rated", lambda number: number % 2 > 0, {"events without a rating": 60}),
        ("all", lambda number: True, {}),
    ],
)
def test_goodreads(choice: str, counts: Callable[[int], bool], excluded: dict[str, int], tmp_path: Path) -> None:
    write_goodreads(tmp_path / "own", "_children")
    found = prepared(tmp_path, reader={"_target_": GOODREADS, "events": choice})
    assert shown(found) == goodreads_events(counts)
    assert found.interactions is not None
    assert (found.interactions.rating is not None) == (choice == "rated")
    others = sum(counts(number) and item == "B1" for number, (_, item, _, _) in enumerate(events()))
    assert dropped(found) == {"items without a title": 1, **excluded, "events of other items": others}


def test_goodreads_by_another_date(tmp_path: Path) -> None:
    write_goodreads(tmp_path / "own")
    found = prepared(tmp_path, reader={"_target_": GOODREADS, "time": "read_at"})
    expected = goodreads_events(lambda number: number % 5 > 1)
    assert shown(found) == {(user, item, time + DAY) for user, item, time in expected}
    assert dropped(found)["events without a user, an item or a time"] == 24


def test_one_of_several_genres_of_goodreads_is_chosen(tmp_path: Path) -> None:
    write_goodreads(tmp_path / "own", "_children")
    write_goodreads(tmp_path / "own", "_poetry")
    with pytest.raises(
        InputError, match=r"found goodreads_interactions_children.*Choose a genre: dataset\.reader\.genre"
    ):
        prepared(tmp_path)
    assert len(prepared(tmp_path, reader={"_target_": GOODREADS, "genre": "poetry"}).items) == ITEMS - 1


def test_goodreads_without_times_is_split_by_leave_one_out(tmp_path: Path) -> None:
    write_goodreads_csv(tmp_path / "own")
    with pytest.raises(InputError, match=r"reader goodreads have no times, .*dataset\.split=leave_one_out"):
        prepared(tmp_path)
    found = prepared(tmp_path, split="leave_one_out")
    assert {(f"U{user}", item) for user, item, _ in shown(found)} == {
        (user, item) for user, item, _ in goodreads_events(lambda number: number % 5 > 0)
    }
    # User 3 has B3 to B9 and B0 to B2, of which the first and the sixth were not read and B1 has no title.
    row = found.test.user.tolist().index("3")
    history = [found.items.ids[item] for item in found.test.history_of(row)]
    assert [*history, found.items.ids[found.test.target[row]]] == ["B4", "B5", "B6", "B7", "B9", "B0", "B2"]


def test_lastfm(tmp_path: Path) -> None:
    write_lastfm(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "lastfm"
    titles = {f"B{number}": f'Artist {number // 2} - "Track B{number}' for number in range(ITEMS)}
    assert set(found.items.titles) == set(titles.values())
    assert shown(found) == {(user, titles[item], time) for user, item, _, time in events()}
    # Both halves of a broken line, the play without a track and the blank line.
    assert dropped(found) == {"events without a user, an item or a time": 4}


def test_lastfm_by_artist(tmp_path: Path) -> None:
    write_lastfm(tmp_path / "own")
    found = prepared(tmp_path, reader={"_target_": "llmrec.datasets.readers.lastfm.LastFM", "item": "artist"})
    plays = {(user, f"Artist {int(item[1:]) // 2}", time) for user, item, _, time in events()}
    assert shown(found) == plays | {("U0", "Artist 1", 1_241_478_537)}


def test_lcrec(tmp_path: Path) -> None:
    write_lcrec(tmp_path / "own")
    with pytest.raises(InputError, match=r"reader lcrec have no times, .*Leave .* out: dataset\.split=leave_one_out"):
        prepared(tmp_path)
    found = prepared(tmp_path, split="leave_one_out")
    assert (found.layout, found.name) == ("lcrec", "own-leave-one-out")
    assert sorted(found.items.ids) == list("01234567")
    assert found.items.categories == [["Office", "Pens"]] * 8
    # User 2 has 2 to 7, 8 (without a title) and 0.
    for split, ids in (("valid", "234567"), ("test", "2345670")):
        rows = getattr(found, split)
        row = rows.user.tolist().index("2")
        taken = [*rows.history_of(row), rows.target[row]]
        assert "".join(found.items.ids[item] for item in taken) == ids
    # All users but 0 and 9 have item 8, and user 0 has 77.
    assert dropped(found) == {"items without a title": 1, "events of other items": 11}
    assert "split leave_one_out, not by time" in summary(found.report)
    assert "times: none in the files; events are taken to be in order of time" in summary(found.report)


def test_the_index_of_lcrec_has_the_tokens_of_its_items(tmp_path: Path) -> None:
    folder = write_lcrec(tmp_path / "own")
    items = prepared(tmp_path, split="leave_one_out").items
    tokens = read_item_tokens(folder / "Arts.index.json", items)
    assert tokens.sequences == [("<a_0>", f"<b_{item}>") for item in items.ids]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("inter", '{"0": [1, 2], "1": "3 4"}', r"key '1': expected a list of item ids, got '3 4'\. Correct the entry"),
        ("inter", "[1, 2]", r"Arts\.inter\.json: not a JSON object"),
        ("item", '{"0": "Pen"}', r"Arts\.item\.json, key '0': not an object\. Write items as"),
        ("item", '{"0": {', r"Arts\.item\.json, row 1: not valid JSON"),
    ],
)
def test_a_bad_entry_of_lcrec_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    folder = write_lcrec(tmp_path / "own")
    (folder / f"Arts.{name}.json").write_text(content)
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, split="leave_one_out")


def test_numbers_as_ids_are_text(tmp_path: Path) -> None:
    folder = write_yelp(tmp_path / "own")
    rows = [{"user_id": 7, "business_id": f"B{n}", "stars": 3, "date": f"2020-01-0{n + 1}"} for n in range(9)]
    write_json_lines(folder / "yelp_academic_dataset_review.json", rows)
    assert {user for user, _, _ in shown(prepared(tmp_path))} == {"7"}
