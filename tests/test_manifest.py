"""Checksums of stored files, and cached files that are made anew."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llmrec import manifest
from llmrec.atomic import atomic_file
from llmrec.cached_files import cached_folder, is_cached, read_arrays, write_arrays
from llmrec.errors import InputError
from llmrec.manifest import CHECKSUMS, folder_manifest, retrain
from tests.damage import DAMAGES, flip_byte


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two recorded files and one that is not."""
    with folder_manifest(tmp_path).recorded("a.json", "weights", "absent"):
        write(tmp_path / "a.json", "aaaa")
        write(tmp_path / "weights" / "w.bin", "wwww")
    write(tmp_path / "notes.txt", "free")
    return tmp_path


@pytest.mark.parametrize("name", ["a.json", "weights/w.bin", CHECKSUMS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(name: str, damage: Callable[[Path], None], folder: Path) -> None:
    folder_manifest(folder).check("Do this.")
    damage(folder / name)
    with pytest.raises(InputError, match=rf"^{folder / name} is damaged \(.+\)\. Do this\.$"):
        folder_manifest(folder).check("Do this.", name.partition("/")[0])


def test_a_missing_file_is_named_and_an_unlisted_one_is_free(folder: Path) -> None:
    write(folder / "notes.txt", "changed")
    assert folder_manifest(folder).damage() is None
    shutil.rmtree(folder / "weights")
    assert folder_manifest(folder).damage("a.json") is None
    assert folder_manifest(folder).damage() == (folder / "weights" / "w.bin", os.strerror(2))


def test_files_that_are_written_again_have_no_checksum_in_between(folder: Path) -> None:
    with pytest.raises(RuntimeError), folder_manifest(folder).recorded("a.json"):  # noqa: PT012
        write(folder / "a.json", "new")
        raise RuntimeError
    assert folder_manifest(folder).damage() is None
    assert list(json.loads((folder / CHECKSUMS).read_text())["files"]) == ["weights/w.bin"]


def test_checksums_of_several_processes_are_added(folder: Path) -> None:
    for name in ("shards/1", "shards/2"):
        write(folder / name, name)
    parts = [folder_manifest(folder).entries(name) for name in ("shards/1", "shards/2")]
    folder_manifest(folder).add(parts[0] | parts[1])
    assert folder_manifest(folder).damage() is None
    for name in ("shards/2", "a.json"):
        write(folder / name, "changed")
        with pytest.raises(InputError, match=f"{folder / name} is damaged"):
            folder_manifest(folder).check("Do this.", name.partition("/")[0])


def test_a_folder_without_checksums_is_read_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert [folder_manifest(tmp_path).damage() for _ in range(2)] == [None, None]
    assert caplog.text.count(f"{tmp_path}: no checksums") == 1


def test_a_large_file_is_read_again_only_if_its_time_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "a.json"
    state = file.stat()
    flip_byte(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    monkeypatch.setattr(manifest, "LARGE_BYTES", 2)
    assert folder_manifest(folder).damage("a.json") is None
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert folder_manifest(folder).damage("a.json") is not None


def test_the_command_of_a_run_is_named(tmp_path: Path) -> None:
    write(tmp_path / ".hydra" / "overrides.yaml", "- objective=msl\n- seed=3\n")
    assert retrain(tmp_path).endswith("python -m llmrec.run objective=msl seed=3")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_removed_with_a_warning(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, arrays = tmp_path / "prompts" / "x.safetensors", {"one": np.arange(50), "two": np.ones((2, 3), np.float32)}
    assert read_arrays(path) is None
    write_arrays(path, arrays)
    stored = read_arrays(path)
    assert stored is not None
    assert all(np.array_equal(stored[name], arrays[name]) for name in arrays)
    damage(path)
    assert read_arrays(path) is None
    assert f"{path} is damaged" in caplog.text
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_of_the_cache_is_removed(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model"
    with cached_folder(path) as temporary:
        write(temporary / "deep" / "w.bin", "wwww")
    assert is_cached(path)
    damage(path / "deep" / "w.bin")
    assert not is_cached(path)
    assert not path.exists()


def write(file: Path, text: str) -> None:
    """Writes a file and its folders."""
    with atomic_file(file) as temporary:
        temporary.write_text(text)
