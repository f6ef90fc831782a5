"""What is written is complete or not there; what killed processes leave is removed; a full disk is called that."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.figure import Figure

from llmrec import atomic
from llmrec.atomic import LEFTOVER, atomic_file, atomic_folder, remove_leftovers
from llmrec.errors import InputError
from llmrec.tables.pack import _write

WRITER = """
import sys, time
from pathlib import Path
from llmrec.atomic import atomic_file, atomic_folder
with {kind}(Path(sys.argv[1])) as temporary:
    (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["atomic_file", "atomic_folder"])
def test_only_what_a_killed_process_left_is_removed(kind: str, tmp_path: Path) -> None:
    writing = subprocess.Popen([sys.executable, "-c", WRITER.format(kind=kind), str(tmp_path / "target")])
    try:
        while not (half := list(tmp_path.glob(".target.*.partial"))):
            time.sleep(0.01)
        write_another(tmp_path)
        assert half[0].exists()
    finally:
        writing.kill()
        writing.wait()
    write_another(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["another"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_and_the_old_file_stays(error: Exception, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    file.write_text("old")
    full = pytest.raises(InputError, match=r"cannot write .*No space left on device\. Free some space")
    with full, atomic_file(file) as temporary:
        temporary.write_text("half")
        raise error
    with pytest.raises(InputError, match="No space left on device"), atomic_folder(tmp_path / "folder"):
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def torch_save(path: Path) -> None:
    torch.save({"weight": torch.zeros(100_000)}, path)


def parquet(path: Path) -> None:
    pq.write_table(pa.table({"row": np.random.default_rng(0).random(100_000)}), path)


def polars_parquet(path: Path) -> None:
    polars.DataFrame({"row": np.random.default_rng(0).random(100_000)}).write_parquet(path)


def json_text(path: Path) -> None:
    path.write_text(json.dumps(list(range(100_000))))


def figure(path: Path) -> None:
    Figure().savefig(path, format="png")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
@pytest.mark.parametrize("write", [torch_save, parquet, polars_parquet, json_text, figure, _write])
def test_what_each_library_raises_on_a_full_disk_is_named(write: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    contents = ({"rows": bytes(range(256)) * 1000},) if write is _write else ()
    full = pytest.raises(InputError, match=rf"^cannot write {file}.*: No space left on device\. Free some space")
    with full, atomic_file(file) as temporary:
        # Linux's device on which every write finds the disk full.
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        write(temporary, *contents)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_leftovers_of_a_whole_tree_are_removed_but_for_those_that_are_held(tmp_path: Path) -> None:
    left = tmp_path / "tiny" / f".base.1{LEFTOVER}"
    (left / "deep").mkdir(parents=True)
    with atomic_folder(tmp_path / "gguf" / "model") as held:
        remove_leftovers(tmp_path)
        assert held.is_dir()
        assert not left.exists()


def test_folders_that_other_processes_remove_meanwhile_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "tiny" / f".base.1{LEFTOVER}"
    left.mkdir(parents=True)
    (tmp_path / "gone").mkdir()
    scandir = os.scandir

    def vanishing(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == "gone":
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    remove_leftovers(tmp_path)
    assert not left.exists()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), atomic_file(tmp_path / "file"):
        raise RuntimeError("shapes differ")


def write_another(folder: Path) -> None:
    """Writes a file as a process that starts anew does."""
    atomic._remove_leftovers_once.cache_clear()
    with atomic_file(folder / "another") as temporary:
        temporary.write_text("whole")
