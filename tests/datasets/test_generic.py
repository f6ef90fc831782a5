import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage_summary import summary
from llmrec.datasets.load import load as load_all
from llmrec.datasets.load import load_dataset, prepared_folder, with_lists
from llmrec.datasets.prepared import read_interactions
from llmrec.datasets.source import locate
from llmrec.datasets.stored_lists import list_rule
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic, write_lines


def load(root: Path, **changes: Any) -> Dataset:
    return load_dataset(group(name="own", source="real", **changes), root, root / "cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_generic(tmp_path / "own")
    return tmp_path


def test_windows_and_split_by_hand(root: Path) -> None:
    dataset = load(root)
    # 12 users with 10 events each: 6 windows a user with at least 4 events before them, 72 in all: 57 + 7 + 8.
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [57, 7, 8]
    last = len(dataset.test) - 1
    assert dataset.test.user[last] == "u11"
    assert dataset.test.history_of(last).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert (dataset.test.target[last], dataset.test.timestamp[last]) == (0, 86_400 * 20)
    assert (np.diff(dataset.train.timestamp) >= 0).all()
    assert dataset.items.categories is not None
    assert dataset.items.categories[0] == ["even", "all"]
    assert dataset.report["event_times_known"]


def test_items_outside_the_core_leave_the_catalogue(root: Path) -> None:
    with (root / "own/items.csv").open("a", encoding="utf-8") as file:
        file.write("rare,Rare thing,\n")
    with (root / "own/interactions.csv").open("a", encoding="utf-8") as file:
        file.write("u0,rare,999999999,5\n")
    assert "rare" not in load(root).items.ids
    assert "rare" in load(root, k_core=1).items.ids


def test_histories_keep_the_settings(root: Path) -> None:
    dataset = load(root, min_history=2, max_history=3)
    lengths = np.diff(dataset.train.offsets)
    assert (lengths.min(), lengths.max()) == (2, 3)


def test_parquet_gives_the_same_rows(root: Path) -> None:
    expected = load(root)
    for stem in ("interactions", "items"):
        csv = root / "own" / f"{stem}.csv"
        pq.write_table(pa.csv.read_csv(csv), csv.with_suffix(".parquet"))
        csv.unlink()
    found = load(root)
    for split in ("train", "valid", "test"):
        for field in ("user", "history", "target", "timestamp"):
            assert (getattr(getattr(found, split), field) == getattr(getattr(expected, split), field)).all()
    assert (found.items.ids, found.items.titles) == (expected.items.ids, expected.items.titles)


def test_ratings_are_kept_with_the_prepared_set(root: Path) -> None:
    dataset = load(root)
    source = locate(group(name="own", source="real"), root, root / "cache")
    events = read_interactions(prepared_folder(source, root / "cache"), dataset.items)
    assert events is not None
    assert events.rating is not None
    assert events.rating.dtype == np.float32
    of_user = events.user_ids[events.user] == "u3"
    assert events.rating[of_user].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    assert [dataset.items.ids[item] for item in events.item[of_user][:2]] == ["i3", "i4"]


def test_ratings_are_optional(tmp_path: Path) -> None:
    write_generic(tmp_path / "own", rating=False)
    assert len(load(tmp_path).train) == 57


BAD_INTERACTIONS = [
    ("u1,i99,5,3", r"item i99 is not in .*items\.csv\. Add it there with its title, or remove the row"),
    ("u1,i1,noon,3", r"timestamp is 'noon', not a time \(unix seconds, .*Z\)\. Correct or remove"),
    ("u1,i1,,3", r"timestamp is '', not a time"),
    ("u1,i1,5,good", r"rating is 'good', not a number\. Correct or remove"),
    (",i1,5,3", r"user is '', not a value"),
    ("u1,i1,5", r"3 fields instead of 4\. Correct or remove that row"),
]


@pytest.mark.parametrize(("line", "message"), BAD_INTERACTIONS)
def test_a_bad_interaction_is_named(root: Path, line: str, message: str) -> None:
    with (root / "own/interactions.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"own/interactions\.csv, row 122: " + message):
        load(root)


@pytest.mark.parametrize("rating", ["", "NaN", "0", "-1", "10.5"])
def test_ratings_are_refused_only_where_a_task_reads_them(root: Path, rating: str) -> None:
    with (root / "own/interactions.csv").open("a", encoding="utf-8") as file:
        file.write(f"u1,i1,5,{rating}\n")
    problem = f"interactions.csv, row 122: rating is {rating!r}, not above 0 and at most 10. Correct or remove that row"
    loaded = load_all(group(name="own", source="real"), root, root / "cache")
    assert f"warning: no rating is used, because of {problem}" in summary(loaded.dataset.report)
    lists = {"candidates": 3, "negatives": None, "seed": 0}
    for relevance in ("auto", "ratings"):
        with pytest.raises(InputError, match=re.escape(f"own: {problem}. Or do without ratings")):
            with_lists(loaded, group(name="own", source="real"), root / "cache", {**lists, "relevance": relevance})
    rule = list_rule({**lists, "relevance": "next_item"}, group(name="own"), "own", False, problem)
    assert not rule.by_ratings


BAD_ITEMS = [
    ("i10,,", r"title is '', not a value"),
    ("i10,  ,", r"title is '  ', not a title \(it is blank\)\. Correct or remove that row"),
    ("i3,Again,", r"item i3 is listed twice\. Keep one of its rows"),
    (",Nameless,", r"item is '', not a value"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ITEMS)
def test_a_bad_item_is_named(root: Path, line: str, message: str) -> None:
    with (root / "own/items.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"own/items\.csv, row 12: " + message):
        load(root)


def test_text_that_is_not_utf8_is_named(root: Path) -> None:
    with (root / "own/items.csv").open("ab") as file:
        file.write("i10,Éclair,\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"items\.csv, row 12: not UTF-8 .*Save the file as UTF-8"):
        load(root)


def test_a_missing_value_in_parquet_is_named(root: Path) -> None:
    table = pa.table({"user": ["u0", "u1"], "item": ["i0", "i1"], "timestamp": pa.array([1, None], pa.int64())})
    (root / "own/interactions.csv").unlink()
    pq.write_table(table, root / "own/interactions.parquet")
    with pytest.raises(InputError, match=r"interactions\.parquet, row 2: timestamp is 'None', not a time"):
        load(root)


def test_a_broken_parquet_file_is_named(root: Path) -> None:
    (root / "own/interactions.csv").unlink()
    (root / "own/interactions.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=r"interactions\.parquet: not a readable Parquet file .*Write it again"):
        load(root)


def test_too_little_data_for_the_core_is_refused(root: Path) -> None:
    write_lines(root / "own/interactions.csv", ["user,item,timestamp", "u0,i0,1", "u0,i1,2"])
    with pytest.raises(InputError, match=r"/own: a split would have no rows: 2 .* Lower dataset\.k_core"):
        load(root)
