"""Hashes of large files, read once while they are unchanged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.file_hash import _cached_hash, file_hash, files_hash
from tests.damage import DAMAGES


def test_hash_is_of_names_and_contents_of_the_files_that_are_meant(tmp_path: Path) -> None:
    first = files_hash(written(tmp_path / "a", config="1", other="2"), ["*.json"], tmp_path / "cache")
    assert files_hash(written(tmp_path / "b", config="1", other="2"), ["*.json"], tmp_path / "cache") == first
    changes = [{"config": "1", "other": "3"}, {"config": "1", "another": "2"}, {"config": "1"}]
    for number, contents in enumerate(changes):
        assert files_hash(written(tmp_path / str(number), **contents), ["*.json"], tmp_path / "cache") != first
    (tmp_path / "a" / "notes.txt").write_text("of no meaning")
    assert files_hash(tmp_path / "a", ["*.json"], tmp_path / "cache") == first


def test_a_file_that_changes_is_read_again_even_with_its_old_time(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("one")
    state = file.stat()
    before = file_hash(file, tmp_path / "cache")
    file.write_text("two")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_hash(file, tmp_path / "cache") != before


def test_a_file_that_stays_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("one")
    before = file_hash(file, tmp_path / "cache")
    (stored,) = (tmp_path / "cache" / "hashes").iterdir()
    assert stored.read_text().startswith(f"{before} ")
    assert file_hash(file, tmp_path / "cache") == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_hash_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("one")
    before = file_hash(file, tmp_path / "cache")
    (stored,) = (tmp_path / "cache" / "hashes").iterdir()
    content = stored.read_bytes()
    damage(stored)
    _cached_hash.cache_clear()
    assert file_hash(file, tmp_path / "cache") == before
    assert stored.read_bytes() == content


def written(folder: Path, **contents: str) -> Path:
    """Writes JSON files and returns their folder."""
    for name, content in contents.items():
        file = folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder
