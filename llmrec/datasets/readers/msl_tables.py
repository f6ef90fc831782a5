"""Reads the files of the layout in which MSL publishes its datasets."""

import json
from collections import defaultdict, deque
from pathlib import Path

import numpy as np
import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.leakage import leakage_report
from llmrec.datasets.prepared import Splits
from llmrec.datasets.split import RowKey, check_splits, hold_out_latest, row_keys
from llmrec.datasets.table_files import scan_table
from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import read_text, without_lone_surrogates
from llmrec.errors import InputError, shortened

COLUMNS = ("user_id", "item_ids", "timestamp")
_ITEM_LIST = r"^\[\s*[0-9]+(\s*,\s*[0-9]+)*\s*\]$"


def read_msl(folder: Path, hold_out: float) -> Splits:
    """Reads a folder in the MSL layout.

    Train is train.csv or, without it, the published sample train_<n>.csv. Without valid.csv the latest rows of train
    become the validation set and are removed from the sample, too. valid_<n>.csv and test_<n>.csv are not read. Blank
    titles and rows that repeat within a split are kept and counted.

    Args:
        folder: The folder.
        hold_out: Share of train that becomes the validation set if there is no valid.csv.

    Raises:
        InputError: For anything that `read_rows` rejects, and for splits that overlap or do not follow each other in
            time.
    """
    items = read_titles(folder / "id2name4Rec.json")
    sample_path, sample_size = _published_sample(folder)
    train_path = folder / "train.csv"
    if not train_path.is_file():
        if sample_path is None:
            raise InputError(f"{folder}: neither train.csv nor train_<n>.csv exists. Put one of them there")
        train_path = sample_path
    train = read_rows(train_path, items)
    test = read_rows(folder / "test.csv", items)
    sample = _positions(sample_path, items, train_path, train) if sample_path else None
    valid_path = folder / "valid.csv"
    valid_held_out = not valid_path.is_file()
    if not valid_held_out:
        valid = read_rows(valid_path, items)
        check_splits([(train_path, train), (valid_path, valid), (folder / "test.csv", test)])
    else:
        check_splits([(train_path, train), (folder / "test.csv", test)])
        train, valid, sample = _hold_out(train_path, train, sample, hold_out)
    report = leakage_report(items, train, valid, test, k_core_over_whole_period=True)
    return Splits(
        items, train, valid, test, report, sample, sample_size,
        train_file=train_path.name, only_a_sample=train_path == sample_path, valid_held_out=valid_held_out,
    )  # fmt: skip


def read_titles(path: Path) -> Items:
    """Reads id2name4Rec.json, a JSON object of item id -> title: items in file order, titles verbatim.

    Half an emoji, as in a title that was cut to a length, is replaced by U+FFFD.
    """
    try:
        titles = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, row {error.lineno}: not valid JSON ({error.msg}). Correct that line") from error
    if not isinstance(titles, dict) or not titles:
        raise InputError(f'{path}, row 1: not an object of item id -> title. Write it as {{"1": "Title", ...}}')
    wrong = [(item, title) for item, title in titles.items() if not isinstance(title, str)]
    if wrong:
        item, title = wrong[0]
        counted = f" ({len(wrong):,} of {len(titles):,} titles)" if len(wrong) > 1 else ""
        shown = shortened(repr(title))
        raise InputError(f"{path}, key {item!r}: the title {shown} is not a string{counted}. Put it in quotes")
    return Items(list(titles), [without_lone_surrogates(title) for title in titles.values()])


def read_rows(path: Path, items: Items) -> Rows:
    """Reads the rows of one split in file order.

    Raises:
        InputError: For a missing file, text that is not UTF-8, a malformed row or list, an item that is not in the
            catalogue, a list without a history, a timestamp that is not a whole number, or a file without rows. The
            message names the file and the row.
    """
    if not path.is_file():
        raise InputError(f"{path}: the file is missing. Put it there; the MSL layout needs it")
    table = scan_table(path, COLUMNS)
    read = table.read(
        user=table.text("user_id"), items=pl.col("item_ids").cast(pl.String), timestamp=table.integers("timestamp")
    )
    lists = _item_lists(table, read["items"])
    item = _item_indices(table, lists, items, path.with_name("id2name4Rec.json"))
    table.require_text(read["user"], "user_id")
    table.require_integers(read["timestamp"], "timestamp")
    ends = lists.list.len().cast(pl.Int64).cum_sum().to_numpy()
    is_target = np.zeros(len(item), dtype=bool)
    is_target[ends - 1] = True
    return Rows(
        user=read["user"].to_numpy().astype(str),
        history=item[~is_target],
        offsets=np.r_[0, ends - np.arange(1, len(ends) + 1)],
        target=item[is_target],
        timestamp=read["timestamp"].to_numpy(),
    )


def _item_lists(table: Table, cells: pl.Series) -> pl.Series:
    """Returns the item ids of each row, lists of strings."""
    table.require(cells.str.contains(_ITEM_LIST), "item_ids", "a list of item ids like [3, 14, 15]")
    lists = cells.str.replace_all(r"[\[\]\s]", "").str.split(",")
    table.require(lists.list.len() > 1, "item_ids", "a history and a target (the history is empty)")
    return lists


def _item_indices(table: Table, lists: pl.Series, items: Items, catalogue: Path) -> np.ndarray:
    """Returns the index of each item of all lists, int32, flat."""
    ids = lists.explode()
    found = ids.replace_strict(items.ids, range(len(items)), default=None, return_dtype=pl.Int32)
    row_of_id = np.repeat(np.arange(len(lists)), lists.list.len().to_numpy())
    unknown = np.flatnonzero(found.is_null().to_numpy())
    is_known = np.ones(len(lists), dtype=bool)
    is_known[row_of_id[unknown]] = False
    table.refuse(
        is_known,
        lambda _: f"item {ids[int(unknown[0])]} is not in {catalogue}",
        "Add its title there, or remove the row",
        "Add the titles there, or remove the rows",
    )
    return found.to_numpy()


def _published_sample(folder: Path) -> tuple[Path | None, int | None]:
    sizes = [path.stem.removeprefix("train_") for path in folder.glob("train_*.csv")]
    numbers = [int(size) for size in sizes if size.isdecimal()]
    if not numbers:
        return None, None
    return folder / f"train_{max(numbers)}.csv", max(numbers)


def _positions(path: Path, items: Items, train_path: Path, train: Rows) -> np.ndarray:
    """Returns the position in train of each row of the published sample, int64; repeated rows are matched in order."""
    if path == train_path:
        return np.arange(len(train))
    candidates: dict[RowKey, deque[int]] = defaultdict(deque)
    for position, key in enumerate(row_keys(train)):
        candidates[key].append(position)
    positions = []
    for index, key in enumerate(row_keys(read_rows(path, items))):
        if not candidates[key]:
            raise InputError(f"{path}, row {index + 2}: not among the rows of {train_path}. Draw the sample from it")
        positions.append(candidates[key].popleft())
    return np.array(positions)


def _hold_out(path: Path, train: Rows, sample: np.ndarray | None, share: float) -> tuple[Rows, Rows, np.ndarray | None]:
    remaining, held_out = hold_out_latest(train.timestamp, share)
    if not len(remaining):
        raise InputError(f"{path}: one row is too few to hold out a validation set. Add rows, or a valid.csv")
    if sample is not None:
        sample = np.searchsorted(remaining, sample[np.isin(sample, remaining)])
        if not len(sample):
            raise InputError(f"{path}: every row of the published sample is held out. Lower dataset.hold_out")
    return train.take(remaining), train.take(held_out), sample
