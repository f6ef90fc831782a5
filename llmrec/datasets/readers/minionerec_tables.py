"""Reads the CSV splits of MiniOneRec and the item files that it shares with LC-Rec."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.leakage import leakage_report
from llmrec.datasets.prepared import Splits
from llmrec.datasets.readers.msl_tables import item_list_rows
from llmrec.datasets.settings import SPLITS
from llmrec.datasets.table_files import scan_table
from llmrec.datasets.tables import Table
from llmrec.datasets.text_files import read_json, without_lone_surrogates
from llmrec.errors import InputError

COLUMNS = ("user_id", "history_item_id", "item_id")
ROW_NUMBERS = "none in the files; rows are taken to be in order of time"


def read_minionerec(splits: Mapping[str, Path], titles: Path) -> Splits:
    """Reads published splits. Blank titles and rows that repeat within a split are kept and counted.

    Args:
        splits: The CSV file of train, valid and test, with the columns user_id, history_item_id (a list) and item_id.
        titles: The file <name>.item.json.

    Raises:
        InputError: For a malformed row, or an item that is not listed. The message names the file and the row.
    """
    entries = read_item_json(titles)
    items = Items(list(entries), [_title(entry) for entry in entries.values()])
    tables = [scan_table(splits[split], COLUMNS) for split in SPLITS]
    rows: list[Rows] = []
    for table in tables:
        rows.append(item_list_rows(_item_lists(table, sum(map(len, rows))), items, titles))
    train, valid, test = rows
    report = leakage_report(items, train, valid, test, k_core_over_whole_period=True)
    ignored = {name for table in tables for name in table.types} - set(COLUMNS)
    report |= {"times": ROW_NUMBERS, "ignored_columns": sorted(ignored)}
    return Splits(items, train, valid, test, report, train_file=splits["train"].name)


def read_item_json(path: Path) -> dict[str, dict[str, Any]]:
    """Reads <name>.item.json, an object of item id -> {"title": ..., "description": ...}.

    Raises:
        InputError: The file is not such an object.
    """
    entries = read_object(path)
    wrong = [item for item, entry in entries.items() if not isinstance(entry, dict)]
    if wrong or not entries:
        where = f", key {wrong[0]!r}" if wrong else ""
        raise InputError(f'{path}{where}: not an object. Write items as {{"0": {{"title": "Red Kettle"}}}}')
    return entries


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: The file is not JSON, its content is no object, or a key occurs twice.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object. Put the published file there")
    return content


def _title(entry: Mapping[str, Any]) -> str:
    return without_lone_surrogates(str(entry.get("title") or "")).strip()


def _item_lists(table: Table, first: int) -> Table:
    """Appends the target to each history, as the MSL layout has it, and numbers the rows from `first`."""
    read = table.read(**{name: table.text(name) for name in COLUMNS[1:]})
    for name in COLUMNS[1:]:
        table.require_text(read[name], name)
    history = pl.col("history_item_id").str.replace_all(r"[\[\]'\"\s]", "")
    joined = pl.when(history == "").then(pl.col("item_id")).otherwise(pl.format("{},{}", history, pl.col("item_id")))
    numbered = table.frame.select(COLUMNS).with_row_index("timestamp", first)
    frame = numbered.select("user_id", pl.col("timestamp").cast(pl.Int64), item_ids=pl.format("[{}]", joined))
    return replace(table, frame=frame, labels={"item_ids": "history_item_id"})
