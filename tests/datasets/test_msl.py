import csv
import json
from pathlib import Path

import pytest

from llmrec.datasets.leakage_summary import summary
from llmrec.datasets.prepared import Splits
from llmrec.datasets.readers.msl import MSL
from llmrec.datasets.readers.msl_tables import read_msl
from llmrec.errors import InputError
from tests.datasets.layouts import TEST, TRAIN, VALID, write_msl


def read(folder: Path) -> Splits:
    return read_msl(folder, 0.1)


def test_rows_by_hand(tmp_path: Path) -> None:
    prepared = read(write_msl(tmp_path / "games"))
    assert prepared.items.titles[4] == '12" Steel'
    assert prepared.items.titles[2] == "Rock &amp; Roll"
    train = prepared.train
    assert train.user.tolist() == ["7", "8", "9"]
    assert [train.history_of(row).tolist() for row in range(3)] == [[0], [1, 2], [2]]
    assert (train.target.tolist(), train.timestamp.tolist()) == ([1, 0, 3], [10, 20, 30])
    assert (len(prepared.valid), len(prepared.test)) == (2, 2)


def test_blank_titles_are_kept_and_counted(tmp_path: Path) -> None:
    titles = {"1": "A", "2": "", "3": "C", "4": "D", "5": "E"}
    prepared = read(write_msl(tmp_path / "games", titles=titles))
    assert prepared.report["titles"]["blank"] == 1
    assert prepared.train.target[0] == 1


def test_without_valid_the_latest_rows_leave_train_and_sample(tmp_path: Path) -> None:
    lines = [f'7,"[1, {1 + n % 5}]",{n}' for n in range(20)]
    sample = [lines[19], lines[3], lines[18], lines[7]]
    folder = write_msl(tmp_path / "games", train=lines, valid=None, test=['9,"[3, 4]",40'], train_4=sample)
    prepared = read(folder)
    assert prepared.valid.timestamp.tolist() == [18, 19]
    assert prepared.train.timestamp.tolist() == list(range(18))
    assert prepared.sample_size == 4
    assert prepared.sample is not None
    assert prepared.train.take(prepared.sample).timestamp.tolist() == [3, 7]


def test_a_sample_alone_is_the_training_set(tmp_path: Path) -> None:
    prepared = read(write_msl(tmp_path / "games", train=None, train_3=TRAIN))
    assert (len(prepared.train), prepared.sample_size) == (3, 3)
    assert prepared.sample is not None
    assert prepared.sample.tolist() == [0, 1, 2]


def test_repeated_rows_of_a_sample_are_matched_one_by_one(tmp_path: Path) -> None:
    lines = [TRAIN[0], TRAIN[0], *TRAIN[1:]]
    prepared = read(write_msl(tmp_path / "games", train=lines, train_3=[TRAIN[0], TRAIN[1], TRAIN[0]]))
    assert prepared.sample is not None
    assert prepared.sample.tolist() == [0, 2, 1]
    assert prepared.report["identical_rows"]["train"] == 1


def test_samples_of_valid_and_test_are_no_overlap(tmp_path: Path) -> None:
    read(write_msl(tmp_path / "games", valid_1=VALID[:1], test_1=TEST[:1]))


BAD_ROWS = [
    ('8,"[2, 3]"', r"row 3: 2 fields instead of 3\. Correct"),
    ('8,"[2, 3,20', r"row 3: .*Correct that row"),
    ('8,"2, 3",20', r"row 3: item_ids is '2, 3', not a list of item ids like \[3, 14, 15\]\. Correct or remove"),
    ('8,"[2, x]",20', r"row 3: item_ids is '\[2, x\]', not a list"),
    ("8,\"[__import__('os'), 3]\",20", r"row 3: item_ids is .*not a list"),
    ('8,"[2, 99]",20', r"row 3: item 99 is not in .*id2name4Rec\.json\. Add its title there, or remove the row"),
    ('8,"[2]",20', r"row 3: item_ids is '\[2\]', not a history and a target \(the history is empty\)"),
    ('8,"[]",20', r"row 3: item_ids is '\[\]', not a list"),
    ('8,"[2, 3]",noon', r"row 3: timestamp is 'noon', not a whole number\. Correct or remove"),
    ('8,"[2, 3]",20.5', r"row 3: timestamp is '20\.5', not a whole number"),
    (',"[2, 3]",20', r"row 3: user_id is '', not a value"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    folder = write_msl(tmp_path / "games", valid=[VALID[0], line])
    with pytest.raises(InputError, match=r"games/valid\.csv, " + message):
        read(folder)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    with (folder / "test.csv").open("ab") as file:
        file.write(b"9\xff")
    with pytest.raises(InputError, match=r"test\.csv, row 4: not UTF-8 .*Save the file as UTF-8"):
        read(folder)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    (folder / "train.csv").write_text("user_id,items,timestamp\n1,2,3\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"train\.csv, row 1: no column 'item_ids' among user_id, items, timestamp\. Name"
    ):
        read(folder)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_split_without_rows_is_refused(tmp_path: Path, split: str) -> None:
    folder = write_msl(tmp_path / "games", None, **{split: []})
    with pytest.raises(InputError, match=rf"{split}\.csv: no rows after the header\. Give the file at least one row"):
        read(folder)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_named(tmp_path: Path, split: str) -> None:
    folder = write_msl(tmp_path / "games", None, **{split: None})
    with pytest.raises(InputError, match=rf"neither {split}\.csv nor {split}_<n>\.csv exists\. Put one of them there"):
        read(folder)


def test_samples_of_valid_and_test_are_read_where_the_whole_splits_are_not_published(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games", valid=None, valid_1=VALID[:1], valid_2=VALID, test=None, test_1=TEST[:1])
    prepared = read(folder)
    assert (prepared.valid.timestamp.tolist(), prepared.test.timestamp.tolist()) == ([30, 40], [40])
    assert prepared.report["files"] == {"train": "train.csv", "valid": "valid_2.csv", "test": "test_1.csv"}
    assert [file.name for file in MSL().files(folder)] == [
        "id2name4Rec.json", "test_1.csv", "train.csv", "valid_2.csv"
    ]  # fmt: skip


def test_columns_that_llm4dsr_adds_are_ignored_and_named(tmp_path: Path) -> None:
    write_llm4dsr(tmp_path / "toys")
    prepared = read(tmp_path / "toys")
    assert prepared.train.user.tolist() == ["7", "8", "9"]
    assert [prepared.train.history_of(row).tolist() for row in range(3)] == [[0], [1, 2], [2]]
    assert prepared.train.target.tolist() == [1, 0, 3]
    assert prepared.report["ignored_columns"] == ["clean_item_ids", "item_titles", "mask", "replaced_item_titles"]
    assert "ignored columns: clean_item_ids, item_titles, mask, replaced_item_titles" in summary(prepared.report)


def write_llm4dsr(folder: Path) -> None:
    """Writes splits with the columns of LLM4DSR, whose lists of titles are Python literals with both quotes."""
    write_msl(folder, train=None, valid=None, test=None)
    for split, lines in {"train_3": TRAIN, "valid_2": VALID, "test_2": TEST}.items():
        rows = [["user_id", "clean_item_ids", "mask", "item_titles", "replaced_item_titles", "item_ids", "timestamp"]]
        for user, ids, time in csv.reader(lines):
            rows.append([user, ids, "[0, 0]", """['12" Steel', "Rock's"]""", "[]", ids, time])
        with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


def test_splits_that_overlap_are_refused(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games", valid=[TRAIN[2], VALID[1]])
    with pytest.raises(InputError, match=r"valid\.csv, row 2: .*train\.csv, row 4; the splits overlap\. Remove"):
        read(folder)


def test_a_sample_from_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games", train_2=[TRAIN[0], VALID[0]])
    with pytest.raises(InputError, match=r"train_2\.csv, row 3: not among the rows of .*train\.csv\. Draw the sample"):
        read(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"1": "A",\n "2": }', r"row 2: not valid JSON .*Correct that line"),
        ('["A", "B"]', r"row 1: not an object of item id -> title\. Write it as"),
        (json.dumps({"1": "A", "2": None}), r"key '2': the title None is not a string\. Put it in quotes"),
    ],
)
def test_bad_titles_are_named(tmp_path: Path, content: str, message: str) -> None:
    folder = write_msl(tmp_path / "games")
    (folder / "id2name4Rec.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"id2name4Rec\.json, " + message):
        read(folder)


def test_one_row_cannot_be_held_out(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games", train=TRAIN[:1], valid=None)
    with pytest.raises(InputError, match=r"train\.csv: one row is too few .*Add rows, or a valid\.csv"):
        read(folder)
