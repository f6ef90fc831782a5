"""Locates a dataset: a folder of real data in one of four layouts, or the simulator.

Imports the standard library only, because entry points call it before they import anything slow.
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
"""Files of ratings and of films of GroupLens's dumps by layout; 20m, 25m and 32m have the layout "latest"."""
MSL_FILES = ("id2name4Rec.json", "train.csv", "train_*.csv", "valid.csv", "test.csv")


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    Attributes:
        kind: "msl", "movielens", "generic", "prepared" or "simulated".
        path: The folder of the data; None for the simulator.
        name: Name used in paths and tables, e.g. "games", or "games-sim" if simulated.
        content_hash: SHA-256 (hex) over the data, the settings that shape the prepared dataset and the code that makes
            it; of a prepared dataset, what its manifest holds.
        simulated: Whether the data is simulated.
    """

    kind: str
    path: Path | None
    name: str
    content_hash: str
    simulated: bool


def locate(dataset: Mapping[str, Any], data_dir: Path) -> Source:
    """Locates the data of a dataset: the folder data_dir/<name> if it exists, else the simulator.

    Args:
        dataset: The resolved Hydra group `dataset` as plain containers.
        data_dir: The folder that holds real datasets.

    Raises:
        InputError: If a setting is invalid, dataset.source=real and there is no folder, or the folder has no known
            layout.
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
    """Returns the interactions file and the items file of the generic layout; an empty list if one is missing.

    Of a CSV and a Parquet file, the CSV file is returned.
    """
    found = []
    for stem in ("interactions", "items"):
        files = [folder / f"{stem}{suffix}" for suffix in (".csv", ".parquet")]
        found += [file for file in files if file.is_file()][:1]
    return found if len(found) == 2 else []


def movielens_layout(folder: Path) -> str | None:
    """Returns the MovieLens layout of a folder, a key of MOVIELENS_FILES; None if it has none of them."""
    for layout, files in MOVIELENS_FILES.items():
        if all((folder / file).is_file() for file in files):
            return layout
    return None


def source_at(folder: Path, dataset: Mapping[str, Any], name: str) -> Source:
    """Identifies the layout of real data in a folder.

    Args:
        folder: The folder.
        dataset: The resolved Hydra group `dataset`, which must have passed `check_settings`.
        name: Name of the dataset.

    Raises:
        InputError: If the folder has no known layout.
    """
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
    # A simulated dataset keeps its suffix -sim when it is moved to the folder of the real ones.
    return Source("prepared", folder, f"{name}-sim" if simulated else name, content_hash, simulated)


def _hash(kind: str, files: Iterable[Path], dataset: Mapping[str, Any]) -> str:
    made_by = [PREPARED_FORMAT, shaping_settings(dataset, kind), code_hash(PREPARING, MADE_BY[kind])]
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()
