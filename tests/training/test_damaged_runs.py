"""Damaged files of a run and of the cache are refused by their names, whether or not they have checksums."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import llmrec
from llmrec.cached_files import read_arrays, write_arrays
from llmrec.errors import InputError
from llmrec.training.run_folder import RunFolder
from tests.mutations import mutate
from tests.tiers import rest_slow
from tests.training.test_damage import RESULTS, made, read

FILES = [name for name in RESULTS if not name.startswith("weights")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run."""
    root = made(tmp_path_factory.mktemp("finished"), "trainer.epochs=1")
    (config_file,) = root.glob("runs/*/*/*/*/*/config.yaml")
    return RunFolder(config_file.parent)


def damaged(finished: RunFolder, name: str, rng: random.Random, folder: Path) -> tuple[RunFolder, Path, bool]:
    """A copy of a run with a damaged file, that file, and whether its content has changed."""
    shutil.copytree(finished.folder, folder)
    (file,) = folder.glob(name)
    before = file.read_bytes()
    mutate(rng, file)
    return RunFolder(folder), file, file.read_bytes() != before


@pytest.mark.parametrize("seed", rest_slow(range(6)))
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_run_is_named(name: str, seed: int, finished: RunFolder, tmp_path: Path) -> None:
    run, file, is_changed = damaged(finished, name, random.Random(f"{name} {seed}"), tmp_path / "run")
    if is_changed:
        with pytest.raises(InputError, match=f"^{file} is damaged"):
            read(run, name)


@pytest.mark.parametrize("seed", rest_slow(range(10), kept=2))
@pytest.mark.parametrize("name", [name for name in FILES if name != "checksums.json"])
def test_a_damaged_file_without_checksum_is_read_or_named(
    name: str, seed: int, finished: RunFolder, tmp_path: Path
) -> None:
    run, _, _ = damaged(finished, name, random.Random(f"{name} {seed} unchecked"), tmp_path / "run")
    for checksums in run.folder.rglob("checksums.json"):
        checksums.unlink()
    try:
        read(run, name)
    except InputError as error:
        message = str(error)
    else:
        return
    assert str(run.folder) in message
    assert len(message) < 2000


@pytest.mark.parametrize("seed", rest_slow(range(20), kept=5))
def test_damaged_arrays_of_the_cache_are_not_used(seed: int, tmp_path: Path) -> None:
    path, arrays = tmp_path / "prompts" / "x.safetensors", {"one": np.arange(50), "two": np.ones((2, 3), np.float32)}
    write_arrays(path, arrays)
    before, rng = path.read_bytes(), random.Random(seed)
    mutate(rng, rng.choice([path, *tmp_path.glob("checksums/*")]))
    stored = read_arrays(path)
    assert stored is None or (path.read_bytes() == before and stored["one"].tolist() == list(range(50)))


@pytest.mark.parametrize("target", ["os.system", "own_decoder.Own", "llmrec.tasks.next_item.NextItem"])
def test_a_ranking_that_names_code_is_refused(target: str, finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    (file,) = tmp_path.glob("run/rankings/*/ranking.json")
    facts = json.loads(file.read_text())
    facts["decoding"]["_target_"] = target
    file.write_text(json.dumps(facts))
    (file.parent / "checksums.json").unlink()
    with pytest.raises(InputError, match=rf"^{file}, decoding\._target_: {target} is refused: it is no decoder"):
        llmrec.open(file.parent)


def test_a_ranking_without_its_settings_is_named(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    (file,) = tmp_path.glob("run/rankings/*/ranking.json")
    file.unlink()
    (file.parent / "checksums.json").unlink()
    with pytest.raises(InputError, match=rf"^{file.parent} has no finished ranking: ranking\.json is missing\. Delete"):
        read(RunFolder(tmp_path / "run"), "rankings/*/ranking.json")
