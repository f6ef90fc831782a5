"""The candidate lists of a prepared dataset: their rule, where they are stored, and the lists that a run gets."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.datasets import load as loading
from llmrec.datasets import stored_lists
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage_summary import summary
from llmrec.datasets.lists import ListRule, Lists
from llmrec.datasets.stored_lists import list_rule
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic, write_msl

SPLITS = ("train", "valid", "test")
TASK = {"candidates": 2, "negatives": None, "relevance": "auto", "seed": 0}


def load(root: Path, cache: str = "cache", task: dict[str, Any] | None = None, **changes: Any) -> Dataset:
    """Loads the dataset root/own with its lists; task: changes to TASK."""
    return load_lists_of(group(name="own", source="real", **changes), root, root / cache, {**TASK, **(task or {})})


def load_lists_of(dataset: dict[str, Any], root: Path, cache: Path, task: dict[str, Any]) -> Dataset:
    """Loads a dataset with its lists."""
    return loading.with_lists(loading.load(dataset, root, cache), dataset, cache, task)


def same(one: Lists, other: Lists) -> bool:
    assert one.history_rating is not None
    assert other.history_rating is not None
    ours, theirs = (
        [lists.candidates, lists.relevance, lists.history_rating, *vars(lists.rows).values()] for lists in (one, other)
    )
    return all(np.array_equal(our, their) for our, their in zip(ours, theirs, strict=True))


def folders(root: Path) -> list[Path]:
    return sorted((root / "cache").rglob("lists-*"))


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """Twelve users rate all ten items: user u rates item u + step (modulo 10) on day u + step."""
    write_generic(tmp_path / "own")
    return tmp_path


@pytest.fixture
def unrated(tmp_path: Path) -> Path:
    """Twelve users interact with eight of ten items, without ratings."""
    write_generic(tmp_path / "own", events=8, rating=False)
    return tmp_path


def test_lists_by_rating_end_to_end(rated: Path) -> None:
    dataset = load(rated, train_samples=5)
    lists, report = dataset.lists, dataset.report["lists"]
    # Train ends with day 15, valid with day 17. Users take their steps 4 to 9 two by two: in train users 0 to 6 all
    # six, then five, four, three, two and one; in valid users 8 to 11 days 16 and 17; in test users 10 and 11.
    assert {split: len(lists[split]) for split in SPLITS} == {"train": 27, "valid": 4, "test": 2}
    assert sorted(lists["valid"].rows.user) == ["u10", "u11", "u8", "u9"]
    assert sorted(lists["test"].rows.user) == ["u10", "u11"]
    splits = report.pop("splits")
    assert report == {
        "candidates": 2, "negatives": 0, "by_ratings": True, "seed": 0, "min_history": 4, "max_history": 10,
    }  # fmt: skip
    assert splits["train"] == {
        "lists": 27,
        "users": 11,
        "lists_with_a_candidate_in_the_history": 0,
        "candidates_never_seen_in_train": 0,
        "best_never_seen_in_train": 0,
        "events_without_history": 48,
        "events_left_over": 3,
        "lists_of_equal_ratings": 0,
        "lists_with_a_title_twice": 0,
        "history_reaches_past_the_cut": 0,
        "history_not_before_the_list": 0,
    }
    assert [splits[split]["events_left_over"] for split in SPLITS] == [3, 1, 2]


def test_a_list_of_the_set(rated: Path) -> None:
    test = load(rated).lists["test"]
    row = test.rows.user.tolist().index("u10")
    # Days 18 and 19: steps 8 and 9, items 8 and 9, four and five stars.
    assert dict(zip(test.candidates[row].tolist(), test.relevance[row].tolist(), strict=True)) == {8: 4, 9: 5}
    assert (test.rows.target[row], test.rows.timestamp[row]) == (9, 86_400 * 18)
    assert test.rows.history_of(row).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(test.ratings_of(row), [1, 2, 3, 4, 5, 1, 2, 3])


def test_the_leakage_report_speaks_of_lists(rated: Path) -> None:
    lines = summary(load(rated).report)
    sizes = "train 27 of 11 users, valid 4 of 4 users, test 2 of 2 users"
    assert f"lists of 2 candidates (0 sampled), relevance by rating: {sizes}" in lines
    assert "lists whose history does not end before them: train 0, valid 0, test 0" in lines


def test_the_sample_is_a_draw_from_the_training_lists(rated: Path) -> None:
    lists = load(rated, train_samples=5).lists
    train, drawn = (set(zip(of.rows.user, of.rows.timestamp, strict=True)) for of in (lists["train"], lists["sample"]))
    assert (len(lists["sample"]), len(drawn)) == (5, 5)
    assert drawn < train
    assert same(load(rated, train_samples=5).lists["sample"], lists["sample"])
    assert not same(load(rated, train_samples=5, sample_seed=1).lists["sample"], lists["sample"])
    assert same(load(rated, train_samples=None).lists["sample"], lists["train"])


def test_other_tasks_have_no_lists(rated: Path) -> None:
    dataset = loading.load_dataset(group(name="own", source="real"), rated, rated / "cache")
    assert dataset.lists == {}
    assert "lists" not in dataset.report
    assert not folders(rated)


def test_lists_are_made_once_and_are_those_made_again(rated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(rated)
    again = load(rated, cache="elsewhere")
    monkeypatch.setattr(stored_lists, "_make", lambda *_: pytest.fail("made again"))
    stored = load(rated)
    for split in ("sample", *SPLITS):
        assert same(stored.lists[split], first.lists[split])
        assert same(again.lists[split], first.lists[split])
    assert first.report["lists"] == stored.report["lists"] == again.report["lists"]
    assert len(folders(rated)) == 1


def test_arrays_have_the_promised_types(rated: Path) -> None:
    train = load(rated).lists["train"]
    assert train.history_rating is not None
    found = [train.candidates.dtype, train.relevance.dtype, train.history_rating.dtype, train.rows.history.dtype]
    assert found == [np.int32, np.float32, np.float32, np.int32]
    assert train.candidates.flags.writeable
    assert train.relevance.flags.writeable


def test_the_shuffle_is_of_the_seed(rated: Path) -> None:
    one, other = load(rated).lists["train"], load(rated, task={"seed": 1}).lists["train"]
    assert one.candidates.tolist() != other.candidates.tolist()
    assert np.sort(one.candidates, axis=1).tolist() == np.sort(other.candidates, axis=1).tolist()


def test_what_changes_the_lists_has_a_folder_of_its_own(tmp_path: Path) -> None:
    write_generic(tmp_path / "own", events=8)
    for task in ({}, {"negatives": 1}, {"seed": 1}, {"candidates": 3, "negatives": 1}):
        load(tmp_path, task=task)
    # Neither the sample nor the wording shapes the lists.
    load(tmp_path, train_samples=3, wording={"item": "film", "items": "films", "verb": "seen"})
    assert len(folders(tmp_path)) == 4
    load(tmp_path, max_history=9)
    events = tmp_path / "own/interactions.csv"
    events.write_text(events.read_text().replace("u0,i0,0,1", "u0,i0,0,2"))
    load(tmp_path)
    assert len({folder.name for folder in folders(tmp_path)}) == 6
    assert len({folder.parent for folder in folders(tmp_path)}) == 3


@pytest.mark.parametrize("name", ["train.parquet", "test.parquet", "report.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_folder_is_made_anew(rated: Path, name: str, damage: str) -> None:
    first = load(rated)
    (folder,) = folders(rated)
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:20])
    assert same(load(rated).lists["test"], first.lists["test"])


def test_a_prepared_set_of_the_users_is_not_written_to(rated: Path) -> None:
    first = load(rated)
    (prepared,) = (folder.parent for folder in folders(rated))
    shutil.copytree(prepared, rated / "data/own", ignore=shutil.ignore_patterns("lists-*"))
    before = sorted(path.name for path in (rated / "data/own").iterdir())
    again = load_lists_of(group(name="own", source="real"), rated / "data", rated / "new", TASK)
    assert sorted(path.name for path in (rated / "data/own").iterdir()) == before
    assert all(same(again.lists[split], first.lists[split]) for split in SPLITS)
    # The dataset it was prepared from has the same hash and may be loaded later with the same cache.
    shutil.rmtree(rated / "data/own")
    write_generic(rated / "data/own")
    raw = load_lists_of(group(name="own", source="real"), rated / "data", rated / "new", TASK)
    assert all(same(raw.lists[split], first.lists[split]) for split in SPLITS)


def test_a_set_without_ratings_has_a_list_for_each_row(unrated: Path) -> None:
    dataset = load(unrated, task={"candidates": 3}, train_samples=9)
    for split, rows in (*((split, getattr(dataset, split)) for split in SPLITS), ("sample", dataset.sample)):
        lists = dataset.lists[split]
        assert len(lists) == len(rows) > 0
        assert (lists.rows.user == rows.user).all()
        assert lists.rows.history.tolist() == rows.history.tolist()
        assert lists.candidates[lists.relevance == 1].tolist() == rows.target.tolist()
        assert lists.relevance.sum(axis=1).tolist() == [1] * len(rows)
        assert lists.history_rating is None
    # User u takes items u to u + 7, so that the other two candidates are known.
    test = dataset.lists["test"]
    for user, candidates, relevance in zip(test.rows.user, test.candidates, test.relevance, strict=True):
        number = int(user.removeprefix("u"))
        assert set(candidates[relevance == 0].tolist()) == {(number + 8) % 10, (number + 9) % 10}
    assert (dataset.report["lists"]["by_ratings"], dataset.report["lists"]["negatives"]) == (False, 2)
    assert "lists of 3 candidates (2 sampled), relevance by next item" in "\n".join(summary(dataset.report))


def test_lists_without_ratings_keep_the_published_sample(tmp_path: Path) -> None:
    lines = [f'{n},"[1, {2 + n % 2}]",{n}' for n in range(20)]
    published = [lines[n] for n in (9, 4, 17, 19, 2)]
    write_msl(tmp_path / "own", train=lines, valid=None, test=['99,"[3, 5]",40'], train_5=published)
    lists = load(tmp_path, train_samples=5).lists
    # Row 19 is held out.
    assert (len(lists["train"]), len(lists["valid"]), len(lists["test"])) == (18, 2, 1)
    assert lists["sample"].rows.timestamp.tolist() == [9, 4, 17, 2]
    assert lists["sample"].candidates.tolist() == lists["train"].candidates[[9, 4, 17, 2]].tolist()


def test_next_item_lists_need_titles_that_the_user_has_not_taken(rated: Path) -> None:
    with pytest.raises(InputError, match=r"1 sampled candidates .* a user has interacted with 10 of .* 10 titles"):
        load(rated, task={"relevance": "next_item"})


def test_ratings_demanded_of_a_set_without(unrated: Path) -> None:
    with pytest.raises(InputError, match=r"task\.relevance=ratings, but own has no ratings: set task\.relevance"):
        load(unrated, task={"relevance": "ratings"})


@pytest.mark.parametrize("stars", ["0", "-1", "10.5", "nan"])
def test_a_rating_out_of_range_is_refused(rated: Path, stars: str) -> None:
    with (rated / "own/interactions.csv").open("a", encoding="utf-8") as file:
        file.write(f"u0,i0,999999999,{stars}\n")
    with pytest.raises(InputError, match=r"interactions\.csv.*rating"):
        load(rated)


@pytest.mark.parametrize(("candidates", "split"), [(7, "train"), (4, "valid")])
def test_lists_too_long_for_a_split_are_refused(rated: Path, candidates: int, split: str) -> None:
    message = rf"own: no list of {candidates} candidates in {split}. Lower task\.candidates, raise task\.negatives"
    with pytest.raises(InputError, match=message):
        load(rated, task={"candidates": candidates})
    assert not folders(rated)


def rule(ratings: bool = True, **task: Any) -> ListRule:
    return list_rule({**TASK, "candidates": 10, **task}, {"min_history": 4, "max_history": 9}, "own", ratings)


def test_rules() -> None:
    assert rule() == ListRule(10, 0, True, 0, 4, 9)
    assert rule(relevance="ratings", negatives=9, seed=3) == ListRule(10, 9, True, 3, 4, 9)
    assert rule(ratings=False) == rule(relevance="next_item") == ListRule(10, 9, False, 0, 4, 9)
    assert rule(ratings=False, relevance="next_item", negatives=9) == rule(ratings=False)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"relevance": "stars"}, r"task\.relevance=stars: choose one of auto, ratings, next_item"),
        ({"candidates": 1}, r"task\.candidates=1: a list needs at least 2 candidates"),
        ({"candidates": 0}, r"task\.candidates=0: "),
        ({"candidates": None}, r"task\.candidates=None: "),
        ({"candidates": 2.5}, r"task\.candidates=2\.5: "),
        ({"candidates": True}, r"task\.candidates=True: "),
        *(({"seed": seed}, rf"task\.seed={seed}: give a whole number") for seed in (-1, None, "x", 1.5)),
        ({"negatives": -1}, r"task\.negatives=-1 of 10 candidates: give from 0 to task\.candidates - 1"),
        ({"negatives": 10}, r"task\.negatives=10 of 10 candidates: give from 0"),
        ({"negatives": "2"}, r"task\.negatives=2 of 10"),
        ({"negatives": True}, r"task\.negatives=True of 10"),
        ({"relevance": "next_item", "negatives": 3}, r"task\.negatives=3 of 10 candidates: give 9: the next item"),
        ({"relevance": "next_item", "negatives": 10}, r"task\.negatives=10 of 10 candidates: give 9"),
    ],
)
def test_settings_that_cannot_be_used(task: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rule(**task)


@pytest.mark.real_data("movielens_100k")
def test_movielens_100k(tmp_path: Path) -> None:
    dataset = group("movielens_100k", source="real")
    loaded = load_lists_of(dataset, Path(os.environ["LLMREC_DATA"]), tmp_path, {**TASK, "candidates": 10})
    report = loaded.report["lists"]["splits"]
    assert [report[split]["lists"] for split in SPLITS] == [7_145, 850, 844]
    assert [report[split]["users"] for split in SPLITS] == [744, 144, 112]
    assert [report[split]["history_not_before_the_list"] for split in SPLITS] == [0, 0, 0]
    assert [len(loaded.lists[split]) for split in SPLITS] == [7_145, 850, 844]
    for split in SPLITS:
        assert set(np.unique(loaded.lists[split].relevance)) <= {1, 2, 3, 4, 5}
