"""Checksums of stored files, by which damage is noticed before a damaged file is used.

A folder of results or of a cache has a manifest, checksums.json; a cached file that shares its folder with others has
one of its own in the cache's folder checksums/. Imports only the standard library.
"""

import csv
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmrec.atomic import atomic_file
from llmrec.errors import InputError, shortened

logger = logging.getLogger(__name__)
CHECKSUMS = "checksums.json"
LARGE_BYTES = 64 * 2**20
"""Files above this size are read whole for their checksum once; then their size and time of change must stay."""
Entry = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The manifest of some files.

    Attributes:
        file: The manifest's own file.
        folder: The folder of the files that it lists.
    """

    file: Path
    folder: Path

    @contextmanager
    def recorded(self, *names: str) -> Iterator[None]:
        """Records files that the block writes: removes their old checksums before it, and writes the new ones after it.

        Args:
            names: Names of files or of folders below the manifest's folder; of those that do not exist nothing is kept.
        """
        others = {name: entry for name, entry in self._kept().items() if not _is_named(name, names)}
        if self.file.exists():
            self._write(others)
        yield
        new = self.entries(*names)
        self._write({name: entry for name, entry in others.items() if (self.folder / name).is_file()} | new)

    def entries(self, *names: str) -> dict[str, Entry]:
        """Computes the checksums of files, for `add`.

        Args:
            names: Names of files or of folders below the manifest's folder.
        """
        files = [file for name in names for file in _files(self.folder / name)]
        return {file.relative_to(self.folder).as_posix(): _entry(file) for file in files}

    def add(self, entries: dict[str, Entry]) -> None:
        """Records files whose checksums have been computed, by any process, with `entries`."""
        self._write(self._kept() | entries)

    def damage(self, *names: str) -> tuple[Path, str] | None:
        """Returns the first damaged file and what is wrong with it; None if all are as they were written.

        Args:
            names: Names of files or folders to check; all by default.
        """
        if not self.file.exists():
            _note(self.folder)
            return None
        try:
            entries = _read(self.file)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            return self.file, str(error) or type(error).__name__
        for name, entry in entries.items():
            fault = _fault(self.folder / name, entry) if not names or _is_named(name, names) else ""
            if fault:
                return self.folder / name, fault
        return None

    def check(self, remedy: str, *names: str) -> None:
        """Checks files; arguments as for `damage`.

        Raises:
            InputError: A file is damaged. The message names it and ends with the remedy.
        """
        damage = self.damage(*names)
        if damage:
            raise InputError(f"{damage[0]} is damaged ({damage[1]}). {remedy}")

    def record_file(self, file: Path, name: str) -> None:
        """Records a file that will be moved to `name` in the manifest's folder, as the only one."""
        self._write({name: _entry(file)})

    def _kept(self) -> dict[str, Entry]:
        try:
            return _read(self.file)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def _write(self, entries: dict[str, Entry]) -> None:
        with atomic_file(self.file) as temporary:
            content = {"files": entries, "digest": _digest(entries)}
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def folder_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a folder."""
    return Manifest(folder / CHECKSUMS, folder)


def file_manifest(file: Path) -> Manifest:
    """Returns the manifest of a cached file that shares its folder with others."""
    return Manifest(file.parent.parent / "checksums" / f"{file.parent.name}-{file.name}.json", file.parent)


@contextmanager
def damage_named(file: Path | str, remedy: str) -> Iterator[None]:
    """Names a file, or what it holds, whose reading in the block fails, as that of one without a checksum may.

    Raises:
        InputError: The block has raised an error of a parser, of a missing key or of a value of another type.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        reason = shortened((str(error) or type(error).__name__).splitlines()[0], 200)
        raise InputError(f"{file} is damaged ({reason}). {remedy}") from error


def retrain(run: Path) -> str:
    """Returns what to do about a damaged file of a training: the command that makes the run again."""
    overrides = run / ".hydra" / "overrides.yaml"
    lines = overrides.read_text(encoding="utf-8").splitlines() if overrides.is_file() else []
    command = " ".join(line.removeprefix("- ") for line in lines if line.startswith("- "))
    return f"Delete the folder {run} and train it again: python -m llmrec.run {command or '<its overrides>'}"


def rank_again(ranking: Path) -> str:
    """Returns what to do about a damaged file of a ranking."""
    return f"Delete the folder {ranking} and repeat its command: python -m llmrec.evaluate run={ranking.parents[1]} ..."


def measure_again(file: Path) -> str:
    """Returns what to do about a damaged file of metrics, which follow from the rankings beside it."""
    return f"Remove it and measure again: python -m llmrec.measure run={file.parents[2]}"


def _read(file: Path) -> dict[str, Entry]:
    content = json.loads(file.read_bytes())
    entries: dict[str, Entry] = content["files"]
    if content["digest"] != _digest(entries):
        raise ValueError("its own checksum differs")
    return entries


def _digest(entries: dict[str, Entry]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _entry(file: Path) -> Entry:
    state = file.stat()
    return {"sha256": _sha256(file), "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def _fault(file: Path, entry: Entry) -> str:
    try:
        state = file.stat()
    except OSError as error:
        return error.strerror or "it is missing"
    if state.st_size != entry["size"]:
        return f"it has {state.st_size:,} bytes, not the {entry['size']:,} that were written"
    if state.st_size > LARGE_BYTES and state.st_mtime_ns == entry["mtime_ns"]:
        return ""
    return "" if _sha256(file) == entry["sha256"] else "its checksum is not that of the file that was written"


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_named(name: str, names: tuple[str, ...]) -> bool:
    return name in names or name.partition("/")[0] in names


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    return [path] if path.is_file() else []


@cache
def _note(folder: Path) -> None:
    logger.info("%s: no checksums, as before they were kept: its files are read unchecked", folder)
