"""Column types as exports have them: each is read as what it means, or refused by file, row and column."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.readers.generic import Generic
from llmrec.errors import InputError
from tests.datasets.layouts import write_lines

EVENTS: dict[str, Any] = {"user": ["u", "u"], "item": ["a", "b"], "timestamp": [1_700_000_000, 1_700_000_001]}
ITEMS: dict[str, Any] = {"item": ["a", "b"], "title": ["Red Kettle", "Blue Kettle"]}
NAN = float("nan")


def read(
    folder: Path, events: dict[str, Any] | None = None, items: dict[str, Any] | None = None
) -> tuple[Items, Interactions]:
    pq.write_table(pa.table({**EVENTS, **(events or {})}), folder / "interactions.parquet")
    pq.write_table(pa.table({**ITEMS, **(items or {})}), folder / "items.parquet")
    return Generic().read(folder)


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        (pa.array([NAN, NAN]), None),
        (pa.nulls(2), None),
        ([None, ["Home"]], [[], ["Home"]]),
        ([[None, "Home"], ["Tea"]], [["Home"], ["Tea"]]),
        (pa.array([[], []], pa.list_(pa.null())), [[], []]),
        (pa.array([["Home"], []], pa.large_list(pa.large_string())), [["Home"], []]),
        (pa.array(["Home|Tea", None], pa.large_string()), [["Home", "Tea"], []]),
        (pa.array(["Home|Tea", None]).dictionary_encode(), [["Home", "Tea"], []]),
    ],
)
def test_categories(categories: Any, expected: Any, tmp_path: Path) -> None:
    assert read(tmp_path, items={"categories": categories})[0].categories == expected


@pytest.mark.parametrize(
    ("categories", "value"),
    [
        ([b"x", b"x"], r'"b\'x\'"'),
        ([1, 2], "'1'"),
        ([1.5, NAN], r"'1\.5'"),
        ([[1], [2]], r"'\[1\]'"),
        ([[["Home"]], [["Home"]]], r"\"\[\['Home'\]\]\""),
        ([{"main": "Home"}, {"main": "Tea"}], r"\"\{'main': 'Home'\}\""),
    ],
)
def test_categories_of_another_type_are_refused(categories: Any, value: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"items\.parquet, row 1: categories is {value}, not a list of text, or text"):
        read(tmp_path, items={"categories": categories})


def test_whole_floats_are_ids_of_whole_numbers(tmp_path: Path) -> None:
    ids = [10_000_000_007, 10_000_000_014]
    events = {"item": list(map(float, ids)), "user": [3.0, 4.0], "timestamp": [1.7e9, 1.7e9 + 1]}
    items, interactions = read(tmp_path, events, {"item": ids})
    assert items.ids == ["10000000007", "10000000014"]
    assert interactions.item.tolist() == [0, 1]
    assert interactions.user_ids.tolist() == ["3", "4"]
    assert interactions.timestamp.tolist() == [1_700_000_000, 1_700_000_001]


def test_whole_floats_in_csv_are_whole_numbers(tmp_path: Path) -> None:
    write_lines(tmp_path / "interactions.csv", ["user,item,timestamp", "1.0,7.0,1700000000.0", "2.0,8.0,1700000001.0"])
    write_lines(tmp_path / "items.csv", ["item,title", "7,Red Kettle", "8,Blue Kettle"])
    items, events = Generic().read(tmp_path)
    assert (items.ids, events.item.tolist(), events.user_ids.tolist()) == (["7", "8"], [0, 1], ["1", "2"])
    assert events.timestamp.tolist() == [1_700_000_000, 1_700_000_001]


def test_ids_that_only_look_like_whole_floats_are_kept(tmp_path: Path) -> None:
    write_lines(tmp_path / "interactions.csv", ["user,item,timestamp", "u,1.0,5", "u,1.0,6"])
    write_lines(tmp_path / "items.csv", ["item,title", "1.0,Version one", "1.5,Version one and a half"])
    items, events = Generic().read(tmp_path)
    assert (items.ids, events.item.tolist()) == (["1.0", "1.5"], [0, 0])


BAD_COLUMNS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"item": [["a"], ["b"]]},
        {},
        r"interactions\.parquet, row 1: item is .* \(the column holds lists\) \(all 2 rows\)",
    ),
    ({}, {"title": [b"Red", b"Blue"]}, r"items\.parquet, row 1: title is .* \(the column holds bytes\) \(all 2 rows\)"),
    ({"user": [{"id": 1}, {"id": 2}]}, {}, r"row 1: user is .* \(the column holds structs\)"),
    ({"user": [NAN, NAN]}, {}, r"row 1: user is 'nan', not a value .*\(all 2 rows\)\. Convert the column user, or"),
    ({"user": [1e17, 2.0]}, {}, r"row 1: user is '1e\+17', not a value that a float holds exactly"),
    ({"rating": pa.array(["good", "5"], pa.large_string())}, {}, r"row 1: rating is 'good', not a number"),
    ({"rating": [4.0, float("inf")]}, {}, r"row 2: rating is 'inf', not a finite number\. Correct or remove that row"),
    (
        {"timestamp": pa.array([2**63 + 5, 1], pa.uint64())},
        {},
        r"row 1: timestamp is '9223372036854775813', not a time",
    ),
    ({"timestamp": [[1], [2]]}, {}, r"row 1: timestamp is '\[1\]', not a time"),
]


@pytest.mark.parametrize(("events", "items", "message"), BAD_COLUMNS)
def test_a_column_of_another_type_is_named(
    events: dict[str, Any], items: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, events, items)


def test_a_column_that_occurs_twice_is_named(tmp_path: Path) -> None:
    read(tmp_path)
    columns = [pa.array(["a", "b"]), pa.array(["Red", "Blue"]), pa.array(["RED", "BLUE"])]
    pq.write_table(pa.Table.from_arrays(columns, ["item", "title", "title"]), tmp_path / "items.parquet")
    with pytest.raises(InputError, match=r"items\.parquet, row 1: the column 'title' occurs twice\. Rename or remove"):
        Generic().read(tmp_path)
    write_lines(tmp_path / "items.csv", ["item,title,title", "a,Red,RED", "b,Blue,BLUE"])
    with pytest.raises(InputError, match=r"items\.csv, row 1: the column 'title' occurs twice"):
        Generic().read(tmp_path)
    # What is not read may occur twice.
    write_lines(tmp_path / "items.csv", ["item,title,note,note", "a,Red,x,y", "b,Blue,x,y"])
    assert Generic().read(tmp_path)[0].titles == ["Red", "Blue"]


@pytest.mark.parametrize(
    ("ratings", "shown"), [([4.0, NAN], "nan"), (pa.array([4, None], pa.int8()), "None"), ([4, 100], "100")]
)
def test_ratings_that_are_missing_or_too_large_are_told_and_not_used(ratings: Any, shown: str, tmp_path: Path) -> None:
    events = read(tmp_path, {"rating": ratings})[1]
    problem = (
        f"interactions.parquet, row 2: rating is '{shown}', not above 0 and at most 10. Correct or remove that row"
    )
    assert (events.rating, events.rating_problem) == (None, problem)


def test_messages_count_the_rows_that_are_like_the_first(tmp_path: Path) -> None:
    write_lines(tmp_path / "items.csv", ["item,title", *(f"i{n},{'' if n % 2 else 'Title'}" for n in range(2_000))])
    write_lines(tmp_path / "interactions.csv", ["user,item,timestamp", "u,i0,5", "u,i2,6", "u,gone,7", "u,lost,8"])
    with pytest.raises(InputError, match=r"row 3: title is '', not a value \(1,000 of 2,000 rows\)\. .* those rows"):
        Generic().read(tmp_path)
    write_lines(tmp_path / "items.csv", ["item,title", "i0,Title", "i2,Title"])
    with pytest.raises(InputError, match=r"row 4: item gone is not in .* \(2 of 4 rows\)\. Add the items there"):
        Generic().read(tmp_path)
    write_lines(tmp_path / "items.csv", ["item,title", "7,Title", "8,Title"])
    with pytest.raises(
        InputError, match=r"row 2: .* \(all 4 rows\)\. Both files must use the same ids, as '7' in items"
    ):
        Generic().read(tmp_path)


def test_messages_are_short(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        read(tmp_path, {"item": ["a", "b" * 2_000]})
    assert len(str(raised.value)) < 400 + len(str(tmp_path)) * 2
