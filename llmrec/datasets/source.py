"""Locates a dataset: a folder of real data, or the simulator.

Imports nothing but the standard library and the module of the reader, because entry points call it before they import
anything slow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmrec.components import Code
from llmrec.datasets.readers.base import Reader
from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.settings import LEAVE_ONE_OUT, PREPARED_FORMAT, SEQUENCE_KEYS, check_settings, check_simulator
from llmrec.errors import InputError
from llmrec.file_hash import file_hash
from llmrec.identity import prepared_key, preparing_code

MANIFEST = "manifest.json"
SUFFIX = "-leave-one-out"
"""Ends the name of a dataset whose splits leave one out, before the suffix of simulated data."""


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from.

    Attributes:
        path: The folder of the data; None for the simulator.
        name: Name used in paths and tables, e.g. "games", "games-sim" if simulated, "games-leave-one-out" or
            "games-leave-one-out-sim" with split=leave_one_out, so that no table mixes them.
        content_hash: Key of the prepared dataset, see `prepared_key`; of a folder that is prepared, the one in its
            manifest.
        simulated: Whether the data is simulated.
        leave_one_out: Whether the splits leave each user's last events out, instead of following each other in time.
        prepared_by: The code that prepares it; None for a prepared dataset.
        reader: The reader of the folder; None for a prepared dataset and the simulator.
    """

    path: Path | None
    name: str
    content_hash: str
    simulated: bool
    leave_one_out: bool = False
    prepared_by: Code | None = field(default=None, compare=False)
    reader: Reader | None = field(default=None, compare=False)

    @property
    def prepared(self) -> bool:
        """Whether the folder holds a prepared dataset."""
        return self.path is not None and self.reader is None

    @property
    def kind(self) -> str:
        """Name of the reader, or "prepared" or "simulated"."""
        if self.reader:
            return self.reader.name
        return "prepared" if self.prepared else "simulated"


def locate(dataset: Mapping[str, Any], data_dir: Path, cache_dir: Path) -> Source:
    """Locates the data of a dataset: the folder data_dir/<name> if it exists, else the simulator.

    Args:
        dataset: The resolved Hydra group `dataset` as plain containers.
        data_dir: The folder that holds real datasets.
        cache_dir: llmrec's cache folder, which holds the hashes of raw files.

    Raises:
        InputError: If a setting is invalid, dataset.source=real and there is no folder, or the reader does not know the
            layout of the folder.
    """
    check_settings(dataset)
    name, wanted = str(dataset["name"]), dataset["source"]
    folder = data_dir / name
    if wanted != "simulated" and folder.is_dir():
        return source_at(folder, dataset, name, cache_dir)
    if wanted == "real" or "titles" not in (dataset.get("simulator") or {}):
        raise InputError(
            f"dataset {name}: no folder {folder.absolute()}. Set LLMREC_DATA to the folder that holds {name}/, "
            "or train on simulated data with dataset.source=simulated (a set that has simulator.titles)"
        )
    check_simulator(dataset)
    shaping = {key: dataset[key] for key in (*SEQUENCE_KEYS, "simulator")}
    prepared_by = preparing_code("llmrec.datasets.simulator")
    key = prepared_key(PREPARED_FORMAT, shaping, {}, prepared_by)
    leaves_one_out = dataset["split"] == LEAVE_ONE_OUT
    return Source(None, _full_name(name, leaves_one_out, True), key, True, leaves_one_out, prepared_by)


def source_at(folder: Path, dataset: Mapping[str, Any], name: str, cache_dir: Path) -> Source:
    """Identifies the real data in a folder.

    A prepared dataset is used as it is, whatever the reader.

    Args:
        folder: The folder.
        dataset: The resolved Hydra group `dataset`, which must have passed `check_settings`.
        name: Name of the dataset.
        cache_dir: llmrec's cache folder, which holds the hashes of raw files.

    Raises:
        InputError: If the reader cannot be built or does not know the layout of the folder, or its splits are made
            already and dataset.split=leave_one_out.
    """
    leaves_one_out = dataset["split"] == LEAVE_ONE_OUT
    if is_prepared(folder):
        return _prepared(name, folder, leaves_one_out)
    reader = build_reader(dataset["reader"]).select(folder)
    if leaves_one_out and "split" not in reader.shaping:
        raise InputError(
            f"dataset.split={LEAVE_ONE_OUT}, but {folder} has published splits, which the reader {reader.name} keeps "
            "as they are. Remove the setting, or bring the interactions from which they were made"
        )
    prepared_by = preparing_code(*_reader_modules(reader, dataset["reader"]["_target_"]))
    key = _key(reader, folder, dataset, prepared_by, cache_dir)
    return Source(folder, _full_name(name, leaves_one_out), key, False, leaves_one_out, prepared_by, reader)


def _full_name(name: str, leaves_one_out: bool, simulated: bool = False) -> str:
    return f"{name}{SUFFIX * leaves_one_out}{'-sim' * simulated}"


def _reader_modules(reader: Reader, target: str) -> set[str]:
    """Returns the module of a reader's class and, if it is the user's own, the one that names the class."""
    named = target.rpartition(".")[0]
    return {type(reader).__module__, *([] if named.startswith("llmrec.") else [named])}


def is_prepared(folder: Path) -> bool:
    """Returns whether a folder holds a prepared dataset."""
    return (folder / MANIFEST).is_file()


def _prepared(name: str, folder: Path, leave_one_out_wanted: bool) -> Source:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        content_hash, simulated = str(manifest["content_hash"]), bool(manifest["simulated"])
        leaves_one_out = (manifest.get("report") or {}).get("split_by") == LEAVE_ONE_OUT
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the manifest of a prepared set ({error}). Prepare the set again") from error
    if leave_one_out_wanted and not leaves_one_out:
        raise InputError(
            f"dataset.split={LEAVE_ONE_OUT}, but {folder} was prepared with another split. Remove the setting, or "
            f"prepare the downloaded files again with split={LEAVE_ONE_OUT}"
        )
    # Refused rather than accepted, so that the settings in a record are those of its data.
    if leaves_one_out and not leave_one_out_wanted:
        raise InputError(
            f"{folder} was prepared with split={LEAVE_ONE_OUT}. Add dataset.split={LEAVE_ONE_OUT}, or prepare the "
            "downloaded files again with a split by time"
        )
    # A simulated dataset keeps its suffix -sim when it is moved to the folder of the real ones.
    return Source(folder, _full_name(name, leaves_one_out, simulated), content_hash, simulated, leaves_one_out)


def _key(reader: Reader, folder: Path, dataset: Mapping[str, Any], prepared_by: Code, cache_dir: Path) -> str:
    missing = [key for key in reader.shaping if key not in dataset]
    if missing:
        raise InputError(f"dataset.{missing[0]} is not set, but the reader {reader.name} uses it. Set it in the YAML")
    reader_class = type(reader)
    shaping = {
        "dataset": {key: dataset[key] for key in reader.shaping},
        "reader": [reader_class.__module__, reader_class.__qualname__, reader.settings],
    }
    files = {file.relative_to(folder).as_posix(): file_hash(file, cache_dir) for file in reader.files(folder)}
    return prepared_key(PREPARED_FORMAT, shaping, files, prepared_by)
