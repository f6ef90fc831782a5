"""Small inputs that went wrong once: each is read with the right value, or refused with its file, row and column."""

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import load_dataset
from llmrec.errors import InputError

FOLDER = "LLMREC_INPUTS"
LISTED = "not a list of text, or text separated by |"
EVERY_ITEM = r"\(all 3 rows\)\. Convert the column"
REFUSED = {
    "03-parquet-categories/data/bytes": rf"items\.parquet, row 1: categories is \"b'x'\", {LISTED}",
    "03-parquet-categories/data/int": rf"items\.parquet, row 1: categories is '1', {LISTED}",
    "03-parquet-categories/data/intlist": rf"items\.parquet, row 1: categories is '\[1\]', {LISTED}",
    "03-parquet-categories/data/nested": rf"items\.parquet, row 1: categories is \"\[\['Home'\]\]\", {LISTED}",
    "03-parquet-categories/data/struct": rf"items\.parquet, row 1: categories is \"{{'main': 'Home'}}\", {LISTED}",
    "08-first-row-only/data/items_without_metadata": r"row 22: item gone0 is not in .* \(1,000 of 1,020 rows\)",
    "08-first-row-only/data/titles": r"items\.csv, row 3: title is '', not a value \(1,000 of 2,000 rows\)",
    "16-column-types/data/binary_title": rf"title is \"b'Red'\", not text .* \(the column holds bytes\) {EVERY_ITEM}",
    "16-column-types/data/large_string_rating": r"interactions\.parquet, row 1: rating is 'good', not a number",
    "16-column-types/data/list_item": r"interactions.parquet, row 1: item is \"\['a'\]\", .*\(the column holds lists\)",
    "16-column-types/data/two_titles": r"items\.parquet, row 1: the column 'title' occurs twice",
    "16-column-types/data/two_titles_csv": r"items\.csv, row 1: the column 'title' occurs twice",
    "16-column-types/data/uint64": r"interactions\.parquet, row 1: timestamp is '9223372036854775813', not a time",
}
FIRST_TIMES = [1700000001, 1700000002]
KETTLES = ["Red Kettle", "Blue Kettle", "Green Tea"]
READ: dict[str, tuple[list[str], list[str], list[list[str]] | None]] = {
    "03-parquet-categories/data/all_empty_pass": (["a", "b", "c"], KETTLES, [[], [], []]),
    "03-parquet-categories/data/nan": (["a", "b", "c"], KETTLES, None),
    "03-parquet-categories/data/nullinside": (["a", "b", "c"], KETTLES, [["Home"], ["Home"], ["Tea"]]),
    "06-float-columns/data/csv_seconds_refused": (["a", "b", "c"], KETTLES, None),
    "06-float-columns/data/ids_refused": (["10000000007", "10000000014", "10000000021"], KETTLES, None),
    "06-float-columns/data/milliseconds_refused": (["a", "b", "c"], KETTLES, None),
    "06-float-columns/data/seconds_pass": (["a", "b", "c"], KETTLES, None),
}


def inputs() -> Path:
    root = os.environ.get(FOLDER)
    if root is None or not Path(root).is_dir():
        pytest.skip(f"needs the folder that {FOLDER} names")
    return Path(root)


def read(folder: Path, cache: Path) -> Dataset:
    shared: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "dataset/shared/base.yaml"))
    reader = {"_target_": "llmrec.datasets.readers.auto.Auto"}
    own = {"name": folder.name, "reader": reader, "source": "real", "k_core": 1, "min_history": 1, "max_history": 5}
    return load_dataset({**shared, **own}, folder.parent, cache)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_row(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=REFUSED[name]):
        read(inputs() / name, tmp_path)


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name: str, tmp_path: Path) -> None:
    dataset = read(inputs() / name, tmp_path)
    assert (dataset.items.ids, dataset.items.titles, dataset.items.categories) == READ[name]
    assert dataset.train.timestamp[:2].tolist() == FIRST_TIMES
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [14, 2, 2]


def test_half_an_emoji_becomes_the_replacement_character(tmp_path: Path) -> None:
    dataset = read(inputs() / "04-json-lone-surrogate/data/shop", tmp_path)
    assert dataset.items.titles[:2] == ["Red Kettle", "Party mug \N{REPLACEMENT CHARACTER}"]


def test_all_data_is_tried() -> None:
    found = {str(folder.relative_to(inputs())) for folder in inputs().glob("*/data/*")}
    others = {"04-json-lone-surrogate/data/shop", "14-one-long-title/data/a12_longtitle"}
    assert found == {*REFUSED, *READ, *others}
