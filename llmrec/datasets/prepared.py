"""A prepared dataset on disk: Parquet files and a manifest with their hashes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmrec.atomic import atomic_folder
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.settings import PREPARED_FORMAT, SPLITS
from llmrec.errors import InputError
from llmrec.file_hash import file_hash
from llmrec.manifest import LARGE_BYTES

TRAIN_FACTS = ("train_file", "only_a_sample", "valid_held_out")
"""Keys of the manifest that tell where train and valid come from."""


@dataclass(frozen=True)
class Splits:
    """What a reader or the simulator makes: the catalogue and its splits, before a training sample is drawn.

    Attributes not listed here are those of `Dataset`.

    Attributes:
        sample: Positions in `train` of the published sample, int64; None if no sample was published.
        sample_size: Number of rows of the sample as published, held-out ones included.
        interactions: The events from which the rows were made, with ratings; None if they are unknown.
    """

    items: Items
    train: Rows
    valid: Rows
    test: Rows
    report: dict[str, Any]
    sample: np.ndarray | None = None
    sample_size: int | None = None
    interactions: Interactions | None = None
    best_ndcg10: dict[str, float] | None = None
    train_file: str | None = None
    only_a_sample: bool = False
    valid_held_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared(Splits):
    """A prepared dataset: splits, and what they were made from.

    Attributes not listed here are those of `Dataset`.

    Attributes:
        layout: The kind of its source (see `Source`).
    """

    name: str
    layout: str
    simulated: bool
    content_hash: str


def write_prepared(prepared: Prepared, folder: Path) -> None:
    """Writes a prepared dataset atomically: the whole folder or nothing.

    Raises:
        InputError: If it cannot be written.
    """
    tables = {"items": _items_table(prepared.items)}
    tables |= {split: rows_table(getattr(prepared, split)) for split in SPLITS}
    if prepared.sample is not None:
        tables["sample"] = pa.table({"train_row": prepared.sample})
    if prepared.interactions is not None:
        tables["interactions"] = _interactions_table(prepared.interactions, prepared.items)
    with atomic_folder(folder) as temporary:
        for stem, table in tables.items():
            pq.write_table(table, temporary / f"{stem}.parquet")
        manifest = {
            "format": PREPARED_FORMAT,
            "name": prepared.name,
            "layout": prepared.layout,
            "simulated": prepared.simulated,
            "content_hash": prepared.content_hash,
            "counts": {stem: table.num_rows for stem, table in tables.items()},
            "sample_size": prepared.sample_size,
            "best_ndcg10": prepared.best_ndcg10,
            **{key: getattr(prepared, key) for key in TRAIN_FACTS},
            "report": prepared.report,
            "files": {f"{stem}.parquet": _sha256(temporary / f"{stem}.parquet") for stem in tables},
        }
        manifest["digest"] = _digest(manifest)
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def read_prepared(folder: Path, content_hash: str, cache_dir: Path) -> Prepared:
    """Reads a prepared dataset without its events, which `read_interactions` reads.

    Args:
        folder: The prepared dataset.
        content_hash: The content hash that it must have.
        cache_dir: llmrec's cache folder, which holds the hashes of large files, so that these are hashed only once.

    Raises:
        InputError: If the manifest or a file is missing or changed, or belongs to another format or content hash.
    """
    manifest = _checked_manifest(folder, content_hash, cache_dir)
    sample = None
    if "sample.parquet" in manifest["files"]:
        sample = pq.read_table(folder / "sample.parquet")["train_row"].to_numpy()
    return Prepared(
        name=manifest["name"],
        layout=manifest["layout"],
        simulated=manifest["simulated"],
        content_hash=content_hash,
        items=_read_items(folder / "items.parquet"),
        train=read_rows(folder / "train.parquet"),
        valid=read_rows(folder / "valid.parquet"),
        test=read_rows(folder / "test.parquet"),
        report=manifest["report"],
        sample=sample,
        sample_size=manifest["sample_size"],
        best_ndcg10=manifest["best_ndcg10"],
        **{key: manifest[key] for key in TRAIN_FACTS},
    )


def has_ratings(folder: Path) -> bool:
    """Returns whether the events of a prepared dataset are known and have ratings."""
    path = folder / "interactions.parquet"
    return path.is_file() and "rating" in pq.read_schema(path).names


def read_interactions(folder: Path, items: Items) -> Interactions | None:
    """Reads the events of a prepared dataset, ordered by user and time; None if its layout has only rows."""
    path = folder / "interactions.parquet"
    if not path.is_file():
        return None
    table = pq.read_table(path)
    user = table["user"].combine_chunks().dictionary_encode()
    return Interactions(
        user_ids=user.dictionary.to_numpy(zero_copy_only=False),
        user=user.indices.to_numpy(),
        item=pc.index_in(table["item"], value_set=pa.array(items.ids)).to_numpy(),
        timestamp=table["timestamp"].to_numpy(),
        rating=table["rating"].to_numpy() if "rating" in table.column_names else None,
    )


def _checked_manifest(folder: Path, content_hash: str, cache_dir: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        wrong = None
        # Sets that were prepared by earlier versions have no digest.
        if manifest.get("digest", _digest(manifest)) != _digest(manifest):
            wrong = "manifest.json is not the file that was written"
        elif manifest["format"] != PREPARED_FORMAT or manifest["content_hash"] != content_hash:
            wrong = "manifest.json belongs to another version or other data"
        for name, digest in manifest["files"].items():
            if not wrong and _hash(folder / name, cache_dir) != digest:
                wrong = f"{name} is not the file that was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        wrong = f"manifest.json or a file it lists cannot be read ({error})"
    if wrong:
        raise InputError(f"{folder}: {wrong}. Delete the folder and prepare the set again (a cached one is made anew)")
    return manifest


def _items_table(items: Items) -> pa.Table:
    columns = {"item": pa.array(items.ids, pa.string()), "title": pa.array(items.titles, pa.string())}
    if items.categories is not None:
        columns["categories"] = pa.array(items.categories, pa.list_(pa.string()))
    return pa.table(columns)


def _read_items(path: Path) -> Items:
    table = pq.read_table(path)
    categories = table["categories"].to_pylist() if "categories" in table.column_names else None
    return Items(table["item"].to_pylist(), table["title"].to_pylist(), categories)


def rows_table(rows: Rows) -> pa.Table:
    """Converts rows to a table with the columns user, history, target and timestamp."""
    history = pa.LargeListArray.from_arrays(pa.array(rows.offsets, pa.int64()), pa.array(rows.history, pa.int32()))
    user = pa.array(rows.user, pa.string())
    return pa.table({"user": user, "history": history, "target": rows.target, "timestamp": rows.timestamp})


def read_rows(path: Path) -> Rows:
    """Reads the rows of a Parquet file that was written from `rows_table`."""
    table = pq.read_table(path).combine_chunks()
    history = table["history"].combine_chunks()
    # A user has many rows: as a dictionary, each id becomes a Python object once.
    user = table["user"].combine_chunks().dictionary_encode()
    # Copied, because Arrow's own arrays are read-only and torch warns about that.
    return Rows(
        user=user.dictionary.to_numpy(zero_copy_only=False)[user.indices.to_numpy()],
        history=history.values.to_numpy().copy(),
        offsets=history.offsets.to_numpy().copy(),
        target=table["target"].to_numpy().copy(),
        timestamp=table["timestamp"].to_numpy().copy(),
    )


def _interactions_table(events: Interactions, items: Items) -> pa.Table:
    columns = {
        "user": pa.array(events.user_ids, pa.string()).take(pa.array(events.user)),
        "item": pa.array(items.ids, pa.string()).take(pa.array(events.item)),
        "timestamp": pa.array(events.timestamp),
    }
    if events.rating is not None:
        columns["rating"] = pa.array(events.rating, pa.float32())
    return pa.table(columns)


def _digest(manifest: dict[str, Any]) -> str:
    """Hashes a manifest without its own digest."""
    # As JSON has it: keys that are numbers become text.
    content = json.loads(json.dumps({key: value for key, value in manifest.items() if key != "digest"}))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash(file: Path, cache_dir: Path) -> str:
    return file_hash(file, cache_dir) if file.stat().st_size > LARGE_BYTES else _sha256(file)


def _sha256(path: Path) -> str:
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
