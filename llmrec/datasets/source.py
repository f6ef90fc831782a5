"""Where a dataset comes from: a real folder in one of four layouts, or the simulator.

Standard library only: entry points ask this before anything heavy is imported.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.code_hash import code_hash
from llmrec.datasets.settings import PREPARED_FORMAT, check_settings, check_simulator, shaping_settings
from llmrec.errors import InputError

PREPARING = ("datasets/load.py", "datasets/prepared.py")
MADE_BY = {
    "msl": ("llmrec.datasets.msl",),
    "generic": ("llmrec.datasets.generic", "llmrec.datasets.sequences"),
    "movielens": ("llmrec.datasets.movielens", "llmrec.datasets.sequences"),
    "simulated": ("llmrec.datasets.simulator", "llmrec.datasets.sequences"),
}
"""The modules that make a prepared set, by kind of source; with what they import: k-core, windows, split."""
MOVIELENS_FILES = {
    "100k": ("u.data", "u.item"),
    "1m": ("ratings.dat", "movies.dat"),
    "latest": ("ratings.csv", "movies.csv"),
}
"""Ratings and films of GroupLens's dumps by layout; "latest" is also that of 20m, 25m and 32m."""
MSL_FILES = ("id2name4Rec.json", "train.csv", "train_*.csv", "valid.csv", "test.csv")


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    kind: "msl", "movielens", "generic", "prepared" or "simulated"; path: its folder, None for the simulator; name: the
    name used in every path and table ("games", or "games-sim" when simulated); content_hash: sha256 hex over the data,
    the settings that shape the prepared set and the code that makes it; of a prepared set, what its manifest holds.
    """

    kind: str
    path: Path | None
    name: str
    content_hash: str
    simulated: bool


def locate(dataset: Mapping[str, Any], data_dir: Path) -> Source:
    """Finds the data of a dataset group: the real folder data_dir/<name> if it is there, else the simulator.

    `dataset` is the resolved Hydra group as plain containers. Raises InputError when a setting cannot be used, when
    dataset.source=real finds no folder, or when the folder is in no known layout.
    """
    check_settings(dataset)
    name, wanted = str(dataset["name"]), dataset["source"]
    folder = data_dir / name
    if wanted != "simulated" and folder.is_dir():
        return source_at(folder, dataset, name)
    if wanted == "real" or "titles" not in (dataset.get("simulator") or {}):
        raise InputError(
            f"dataset {name}: no folder {folder.absolute()}. Set LLMREC_DATA to the folder that holds {name}/, "
            "or train on simulated data with dataset.source=simulated (a set that has simulator.titles)"
        )
    check_simulator(dataset)
    return Source("simulated", None, f"{name}-sim", _hash("simulated", [], dataset), True)


def interaction_files(folder: Path) -> list[Path]:
    """The interactions and the items file of the generic layout, CSV before Parquet; empty if one is missing."""
    found = []
    for stem in ("interactions", "items"):
        files = [folder / f"{stem}{suffix}" for suffix in (".csv", ".parquet")]
        found += [file for file in files if file.is_file()][:1]
    return found if len(found) == 2 else []


def movielens_layout(folder: Path) -> str | None:
    """The MovieLens layout of a folder, a key of MOVIELENS_FILES; None if it is in none."""
    for layout, files in MOVIELENS_FILES.items():
        if all((folder / file).is_file() for file in files):
            return layout
    return None


def source_at(folder: Path, dataset: Mapping[str, Any], name: str) -> Source:
    """The real data in a folder, whose settings must have been checked. Raises InputError if it is in no layout."""
    if (folder / "manifest.json").is_file():
        return _prepared(name, folder)
    if (folder / "id2name4Rec.json").is_file():
        files = [file for pattern in MSL_FILES for file in folder.glob(pattern)]
        return Source("msl", folder, name, _hash("msl", files, dataset), False)
    generic = interaction_files(folder)
    if generic:
        return Source("generic", folder, name, _hash("generic", generic, dataset), False)
    layout = movielens_layout(folder)
    if layout:
        dump = [folder / file for file in MOVIELENS_FILES[layout]]
        return Source("movielens", folder, name, _hash("movielens", dump, dataset), False)
    raise InputError(
        f"dataset {name}: {folder.absolute()} is in no known layout. Expected one of: id2name4Rec.json with train.csv "
        "or train_<n>.csv, optionally valid.csv, and test.csv; interactions.csv|parquet with items.csv|parquet; "
        "MovieLens's u.data with u.item, ratings.dat with movies.dat, or ratings.csv with movies.csv; "
        "or a prepared set with its manifest.json"
    )


def _prepared(name: str, folder: Path) -> Source:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        content_hash, simulated = str(manifest["content_hash"]), bool(manifest["simulated"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the manifest of a prepared set ({error}). Prepare the set again") from error
    # A simulated set that was moved among the real ones keeps its -sim.
    return Source("prepared", folder, f"{name}-sim" if simulated else name, content_hash, simulated)


def _hash(kind: str, files: Iterable[Path], dataset: Mapping[str, Any]) -> str:
    made_by = [PREPARED_FORMAT, shaping_settings(dataset, kind), code_hash(PREPARING, MADE_BY[kind])]
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()
