"""split=leave_one_out: the last event of each user is test, the one before it validation, the rest train."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.leakage import split_by
from llmrec.datasets.leakage_summary import summary
from llmrec.datasets.load import load, load_dataset, prepare, with_lists
from llmrec.datasets.prepared import write_prepared
from llmrec.datasets.sequences import Sequences, make_sequences
from llmrec.datasets.settings import LEAVE_ONE_OUT
from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic, write_msl

ITEMS = Items(list("abcde"), ["A", "B", "C", "D", "E"])
EVENTS = [
    # user, item, time; in file order
    ("ann", 0, 10), ("ann", 1, 20), ("ann", 2, 30), ("ann", 3, 40), ("ann", 4, 50),
    # Two events at once: the later one in the file is the later one.
    ("bob", 4, 200), ("bob", 0, 210), ("bob", 2, 220), ("bob", 1, 220),
    # Of these, the last but one has no event before it.
    ("cy", 3, 5), ("cy", 2, 6),
    ("dot", 1, 7),
]  # fmt: skip


def sequences(min_history: int, max_history: int = 3) -> Sequences:
    users, user = np.unique([who for who, _, _ in EVENTS], return_inverse=True)
    item, time = (np.array([event[field] for event in EVENTS]) for field in (1, 2))
    events = Interactions(users, user.astype(np.int32), item.astype(np.int32), time.astype(np.int64))
    settings = {"k_core": 1, "min_history": min_history, "max_history": max_history, "split": LEAVE_ONE_OUT}
    return make_sequences(ITEMS, events, settings, "here")


def listed(rows: Rows) -> list[tuple[str, str, str]]:
    """User, history and target of each row, with items as letters."""
    letters = np.array(list("abcde"))
    return [
        (str(rows.user[row]), "".join(letters[rows.history_of(row)]), str(letters[rows.target[row]]))
        for row in range(len(rows))
    ]


def test_rows_by_hand() -> None:
    made = sequences(min_history=1)
    # Each split is in order of time.
    assert listed(made.rows["train"]) == [("ann", "a", "b"), ("ann", "ab", "c"), ("bob", "e", "a")]
    assert listed(made.rows["valid"]) == [("ann", "abc", "d"), ("bob", "ea", "c")]
    assert listed(made.rows["test"]) == [("cy", "d", "c"), ("ann", "bcd", "e"), ("bob", "eac", "b")]


def test_a_user_with_too_few_events_before_an_event_has_no_row_of_it() -> None:
    made = sequences(min_history=2)
    assert listed(made.rows["train"]) == [("ann", "ab", "c")]
    assert listed(made.rows["valid"]) == [("ann", "abc", "d"), ("bob", "ea", "c")]
    assert listed(made.rows["test"]) == [("ann", "bcd", "e"), ("bob", "eac", "b")]
    # ann and bob have five and four events: a history of three leaves no training row.
    with pytest.raises(InputError, match=r"here: a split would have no rows: .* Lower dataset\.k_core or dataset\.min"):
        sequences(min_history=3)


def test_training_rows_later_than_the_first_test_target_are_counted() -> None:
    report = sequences(min_history=1).report
    # The first test target is of time 6; the training targets are of the times 20, 30 and 210.
    assert report["train_rows_after_the_first_test_target"] == {"rows": 3, "share": 1.0}
    assert split_by(report) == "leave_one_out"
    later = sequences(min_history=2).report
    # The first test target is of time 50, the only training target of time 30.
    assert later["train_rows_after_the_first_test_target"] == {"rows": 0, "share": 0.0}
    expected = "split leave_one_out, not by time: 3 training rows (100.0 %) are later than the earliest test target"
    assert expected in summary(report)
    assert not any("cut" in line or "boundary" in line for line in summary(report))
    json.dumps(report)


def opened(folder: Path, **changes: Any) -> Dataset:
    return load_dataset(group(source="real", **changes), folder, folder / "cache")


def test_real_data_is_named_and_keyed_by_its_split(tmp_path: Path) -> None:
    write_generic(tmp_path / "games")
    by_time, left = opened(tmp_path), opened(tmp_path, split=LEAVE_ONE_OUT)
    assert (by_time.name, split_by(by_time.report)) == ("games", "time")
    assert (left.name, split_by(left.report)) == ("games-leave-one-out", "leave_one_out")
    assert by_time.content_hash != left.content_hash
    # 12 users with ten events each and at least four before a target.
    assert [len(rows) for rows in (left.train, left.valid, left.test)] == [12 * 4, 12, 12]
    assert set(left.test.user) == {f"u{user}" for user in range(12)}


def test_simulated_data_has_both_suffixes(tmp_path: Path) -> None:
    dataset = load_dataset(group(source="simulated", split=LEAVE_ONE_OUT), tmp_path, tmp_path / "cache")
    assert (dataset.name, dataset.simulated) == ("games-leave-one-out-sim", True)
    # All users in the 5-core have the four events before their last one.
    assert len(dataset.test) == len(set(dataset.test.user)) >= len(dataset.valid)
    assert dataset.best_ndcg10 is not None
    assert 0 < dataset.best_ndcg10["test"] < 1


def test_published_splits_refuse_it(tmp_path: Path) -> None:
    write_msl(tmp_path / "games")
    with pytest.raises(
        InputError, match=r"split=leave_one_out, but .*games has published splits, which the reader msl"
    ):
        locate(group(split=LEAVE_ONE_OUT), tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("prepared", "wanted", "message"),
    [
        (
            LEAVE_ONE_OUT,
            [0.8, 0.1, 0.1],
            r"games was prepared with split=leave_one_out\. Add dataset\.split=leave_one_",
        ),
        ([0.8, 0.1, 0.1], LEAVE_ONE_OUT, r"games was prepared with another split\. Remove the setting, or prepare the"),
    ],
)
def test_a_prepared_set_keeps_its_split(tmp_path: Path, prepared: Any, wanted: Any, message: str) -> None:
    write_generic(tmp_path / "raw" / "games")
    dataset = group(split=prepared)
    source = locate(dataset, tmp_path / "raw", tmp_path / "cache")
    write_prepared(prepare(source, dataset), tmp_path / "games")
    assert locate(dataset, tmp_path, tmp_path / "cache") == source.__class__(
        tmp_path / "games", source.name, source.content_hash, False, source.leave_one_out
    )
    with pytest.raises(InputError, match=message):
        locate(group(split=wanted), tmp_path, tmp_path / "cache")


RERANK = {"candidates": 4, "negatives": None, "relevance": "next_item", "seed": 0}


def test_lists_of_the_next_item_never_show_what_the_user_had_before(tmp_path: Path) -> None:
    write_generic(tmp_path / "games", users=8, events=8)
    dataset = group(split=LEAVE_ONE_OUT)
    loaded = load(dataset, tmp_path, tmp_path / "cache")
    # User u has all items but u + 8 and u + 9 (mod 10): two are left as negatives, the two that the user never had.
    with_two = with_lists(loaded, dataset, tmp_path / "cache", RERANK | {"candidates": 3})
    lists = with_two.lists["test"]
    assert len(lists) == 8
    for row, (candidates, relevance) in enumerate(zip(lists.candidates, lists.relevance, strict=True)):
        user = int(lists.rows.user[row].removeprefix("u"))
        assert set(candidates[relevance == 0]) == {(user + 8) % 10, (user + 9) % 10}
        assert candidates[relevance == 1] == [(user + 7) % 10]


@pytest.mark.parametrize("relevance", ["auto", "ratings"])
def test_lists_by_ratings_are_refused(tmp_path: Path, relevance: str) -> None:
    write_generic(tmp_path / "games")
    dataset = group(split=LEAVE_ONE_OUT)
    loaded = load(dataset, tmp_path, tmp_path / "cache")
    with pytest.raises(InputError, match=r"games-leave-one-out: lists by ratings .* Set task\.relevance=next_item, or"):
        with_lists(loaded, dataset, tmp_path / "cache", RERANK | {"relevance": relevance})
