"""Readers of published splits without times: MiniOneRec's CSV files and S-DPO's samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.datasets.leakage_summary import summary
from llmrec.errors import InputError
from tests.datasets.dumps import write_minionerec, write_sdpo
from tests.datasets.layouts import prepared
from tests.datasets.read_back import shown


def test_splits_of_minionerec_are_read_in_order(tmp_path: Path) -> None:
    write_minionerec(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "minionerec"
    assert found.items.titles == ["Iron Harbor", "Rock's &amp; Roll", '12" Steel', '12" Steel']
    ids = found.items.ids
    assert shown(found.train, ids) == [("A7", ["0"], "1", 0), ("A8", ["1", "2"], "0", 1)]
    assert shown(found.valid, ids) == [("A7", ["0", "1"], "3", 2)]
    assert shown(found.test, ids) == [("A8", ["1", "2", "0"], "3", 3), ("A9", ["3"], "2", 4)]
    assert "times: none in the files; rows are taken to be in order of time" in summary(found.report)
    assert found.report["ignored_columns"] == ["history_item_sid", "history_item_title", "item_sid", "item_title"]


def test_the_index_of_minionerec_has_the_tokens_of_its_items(tmp_path: Path) -> None:
    write_minionerec(tmp_path / "own")
    tokens = read_item_tokens(tmp_path / "own/index/Office_Products.index.json", prepared(tmp_path).items)
    assert tokens.sequences == [("<a_1>", "<b_2>", "<c_0>"), ("<a_1>", "<b_2>", "<c_1>"), ("<a_1>", "<b_2>", "<c_2>")]


def test_one_of_several_sets_of_minionerec_is_chosen(tmp_path: Path) -> None:
    folder = write_minionerec(tmp_path / "own")
    for file in [file for file in folder.glob("*/*") if file.is_file()]:
        file.with_name(file.name.replace("Office_Products", "Toys")).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"found .* Office_Products\.item\.json, Toys\.item\.json\. Choose"):
        prepared(tmp_path)
    target = "llmrec.datasets.readers.minionerec.MiniOneRec"
    found = prepared(tmp_path, reader={"_target_": target, "category": "Toys"})
    assert len(found.train) == 2
    assert found.train_file == "Toys_5_2016-10-2018-11.csv"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0]", "[]", r"row 2: history_item_id is '\[1\]', not a history and a target \(the history is empty\)"),
        ("[0]", "[__import__('os')]", r"row 2: history_item_id is .*, not a list of item ids"),
        ("[0]", "[5]", r"row 2: item 5 is not in .*Office_Products\.item\.json\. Add its title"),
        ("history_item_id", "ids", r"no column 'history_item_id' among"),
    ],
)
def test_a_bad_row_of_minionerec_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write_minionerec(tmp_path / "own") / "train/Office_Products_5_2016-10-2018-11.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=rf"train/Office_Products_5_2016-10-2018-11\.csv, .*{message}"):
        prepared(tmp_path)


def test_samples_of_sdpo_are_read_by_their_titles(tmp_path: Path) -> None:
    write_sdpo(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "sdpo"
    assert found.items.ids == found.items.titles == ["Boris", "Fennesz", "Queen", "Hope", "\u00b5-Ziq", "Sodom"]
    ids = found.items.ids
    assert shown(found.train, ids) == [
        ("train-1", ["Boris", "Fennesz"], "Queen", 0),
        ("train-2", ["Queen", "Boris", "Fennesz"], "\u00b5-Ziq", 1),
    ]
    assert shown(found.valid, ids) == [("valid-1", ["Fennesz"], "Sodom", 2)]
    assert shown(found.test, ids) == [("test-1", ["Sodom", "Queen"], "Boris", 3)]
    assert any(line.startswith("times: none in the files, and no users") for line in summary(found.report))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda samples: {"data": samples}, r"not a list of samples\. Put the file there"),
        (lambda samples: [], r"not a list of samples"),
        (lambda samples: [samples[0], {"prompt": "x", "chosen": "y"}], r"sample 2: .* has no historyList and trueSele"),
        (lambda samples: [{**samples[0], "historyList": ""}], r"sample 1: .* has no historyList and trueSelection"),
        (lambda samples: [{**samples[0], "trueSelection": None}], r"sample 1: .* Correct or remove it"),
    ],
)
def test_a_bad_sample_is_named(change: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    path = write_sdpo(tmp_path / "own") / "lastfm-train.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=rf"lastfm-train\.json(, |: ){message}"):
        prepared(tmp_path)
