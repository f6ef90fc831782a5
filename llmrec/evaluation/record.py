"""The files of an evaluation: rankings of each kind, metrics.json and the metrics' values by row."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import UnionType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmrec.atomic import atomic_file
from llmrec.errors import InputError
from llmrec.manifest import damage_named, folder_manifest, measure_again, rank_again

METRICS_FILE, ROWS_FILE, FACTS_FILE = "metrics.json", "rows.parquet", "ranking.json"
FACTS: dict[str, type | UnionType] = {
    "recommender": str, "precision": dict | None, "seconds": dict, "decoding": dict, "evaluation": dict,
}  # fmt: skip
"""The content of ranking.json."""
SPLIT = "split"
"""The column that every Parquet file of an evaluation begins with."""
Tables = Mapping[str, pa.Table]
"""Tables by split."""


def write_part(folder: Path, part: str, tables: Tables) -> None:
    """Writes <part>.parquet: the rankings of one kind.

    Raises:
        InputError: If the folder is not writable or the disk is full.
    """
    file = folder / f"{part}.parquet"
    with folder_manifest(folder).recorded(file.name), atomic_file(file) as temporary:
        pq.write_table(_joined(tables), temporary)


def read_part(folder: Path, part: str) -> dict[str, pa.Table] | None:
    """Reads <part>.parquet by split. Returns None if it does not exist.

    Raises:
        InputError: If the file is damaged.
    """
    file = folder / f"{part}.parquet"
    if not file.is_file():
        return None
    folder_manifest(folder).check(rank_again(folder), file.name)
    try:
        table = pq.read_table(file)
        splits = table[SPLIT].unique().to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{file} is damaged ({error}). {rank_again(folder)}") from error
    return {split: table.filter(pc.equal(table[SPLIT], split)).drop_columns(SPLIT) for split in splits}


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Writes ranking.json: how the rankings were made."""
    with folder_manifest(folder).recorded(FACTS_FILE), atomic_file(folder / FACTS_FILE) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """Reads ranking.json; {} if it does not exist.

    Raises:
        InputError: If the file is damaged.
    """
    file = folder / FACTS_FILE
    if not file.is_file():
        return {}
    folder_manifest(folder).check(rank_again(folder), file.name)
    with damage_named(file, rank_again(folder)):
        facts = json.loads(file.read_text(encoding="utf-8"))
        for name, kind in FACTS.items():
            if not isinstance(facts[name], kind):
                raise TypeError(f"{name} is {facts[name]!r}")
        # The record repeats them and takes no infinite numbers.
        json.dumps(facts, allow_nan=False)
        return dict(facts)


def write_record(folder: Path, metrics: dict[str, Any], rows: Tables) -> None:
    """Writes rows.parquet and metrics.json. If a write fails, no file is left.

    Raises:
        InputError: If the folder is not writable or the disk is full.
    """
    with folder_manifest(folder).recorded(METRICS_FILE, ROWS_FILE), ExitStack() as files:
        # The stack closes in reverse order, so metrics.json is moved into place last. Its presence marks the evaluation
        # as finished.
        metrics_file = files.enter_context(atomic_file(folder / METRICS_FILE))
        metrics_file.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        pq.write_table(_joined(rows), files.enter_context(atomic_file(folder / ROWS_FILE)))


def read_metrics(folder: Path) -> dict[str, Any]:
    """Reads the metrics of a finished evaluation.

    Raises:
        InputError: If the folder has no metrics or the file is damaged.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        raise InputError(f"no finished evaluation in {folder}: {METRICS_FILE} is missing. Run the evaluation again.")
    folder_manifest(folder).check(measure_again(path), path.name)
    with damage_named(path, measure_again(path)):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _joined(tables: Tables) -> pa.Table:
    """Returns one table of all splits, with the column SPLIT."""
    parts = [table.add_column(0, SPLIT, pa.array([split] * len(table), pa.string())) for split, table in tables.items()]
    return pa.concat_tables(parts, promote_options="default")
