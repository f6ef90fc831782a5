"""Reads the files of the layout in which MSL publishes its datasets."""

from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.leakage import leakage_report
from llmrec.datasets.prepared import Splits
from llmrec.datasets.readers.msl import published_sample, split_files
from llmrec.datasets.split import RowKey, check_splits, hold_out_latest, row_keys
from llmrec.datasets.table_files import scan_table
from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import read_json, without_lone_surrogates
from llmrec.errors import InputError, shortened

TITLES = "id2name4Rec.json"
COLUMNS = ("user_id", "item_ids", "timestamp")
_ITEM_LIST = r"^\[\s*[0-9]+(\s*,\s*[0-9]+)*\s*\]$"


def read_msl(folder: Path, hold_out: float) -> Splits:
    """Reads a folder in the MSL layout.

    Train is train.csv or, without it, the published sample train_<n>.csv. Without valid.csv or test.csv the published
    sample of it is read. Without either of valid the latest rows of train become the validation set and are removed
    from the sample, too. Blank titles and rows that repeat within a split are kept and counted. Other columns, which
    relatives of MSL add (LLM4DSR: mask, item_titles, ...), are ignored and named in the report.

    Args:
        folder: The folder.
        hold_out: Share of train that becomes the validation set if none was published.

    Raises:
        InputError: For anything that `read_rows` rejects, and for splits that overlap or do not follow each other in
            time.
    """
    items = read_titles(folder / TITLES)
    sample_path, sample_size = published_sample(folder, "train")
    paths = split_files(folder)
    for split in ("train", "test"):
        if split not in paths:
            raise InputError(f"{folder}: neither {split}.csv nor {split}_<n>.csv exists. Put one of them there")
    tables = {split: scan_table(path, COLUMNS) for split, path in paths.items()}
    rows = {split: item_list_rows(table, items, folder / TITLES) for split, table in tables.items()}
    check_splits([(path, rows[split]) for split, path in paths.items()])
    train, train_path = rows["train"], paths["train"]
    sample = _positions(sample_path, items, train_path, train) if sample_path else None
    valid = rows.get("valid")
    if valid is None:
        train, valid, sample = _hold_out(train_path, train, sample, hold_out)
    report = leakage_report(items, train, valid, rows["test"], k_core_over_whole_period=True)
    report |= {"files": {split: path.name for split, path in paths.items()}, "ignored_columns": _ignored(tables)}
    return Splits(
        items, train, valid, rows["test"], report, sample, sample_size,
        train_file=train_path.name, only_a_sample=train_path == sample_path, valid_held_out="valid" not in rows,
    )  # fmt: skip


def read_titles(path: Path) -> Items:
    """Reads id2name4Rec.json, a JSON object of item id -> title: items in file order, titles verbatim.

    Half an emoji, as in a title that was cut to a length, is replaced by U+FFFD.
    """
    titles = read_json(path)
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
    """Reads the rows of one file in file order.

    Raises:
        InputError: For text that is not UTF-8, a malformed row or list, an item that is not in the catalogue, a list
            without a history, a timestamp that is not a whole number, or a file without rows. The message names the
            file and the row.
    """
    return item_list_rows(scan_table(path, COLUMNS), items, path.with_name(TITLES))


def item_list_rows(table: Table, items: Items, catalogue: Path) -> Rows:
    """Makes rows of a table with the columns user_id, item_ids (a list that ends in the target) and timestamp.

    Args:
        table: The table.
        items: The catalogue.
        catalogue: Its file, for error messages.
    """
    read = table.read(
        user=table.text("user_id"), items=pl.col("item_ids").cast(pl.String), timestamp=table.integers("timestamp")
    )
    lists = _item_lists(table, read["items"])
    item = _item_indices(table, lists, items, catalogue)
    table.require_text(read["user"], "user_id")
    table.require_integers(read["timestamp"], "timestamp")
    ends = lists.list.len().cast(pl.Int64).cum_sum().to_numpy()
    is_target = np.zeros(len(item), dtype=bool)
    is_target[ends - 1] = True
    return Rows(
        user=read["user"].to_numpy(),
        history=item[~is_target],
        offsets=np.r_[0, ends - np.arange(1, len(ends) + 1)],
        target=item[is_target],
        timestamp=read["timestamp"].to_numpy(),
    )


def _ignored(tables: Mapping[str, Table]) -> list[str]:
    """Returns the names of columns that are not read, sorted."""
    return sorted({name for table in tables.values() for name in table.types} - set(COLUMNS))


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
