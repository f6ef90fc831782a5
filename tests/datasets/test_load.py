import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.datasets import load, prepared
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.load import load_dataset, prepared_folder
from llmrec.datasets.prepared import read_prepared
from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.code_changes import edit
from tests.damage import DAMAGES
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl

SMALL = {"items": 120, "users": 150}


def small(**changes: Any) -> dict[str, object]:
    dataset = group(source="simulated", **changes)
    return {**dataset, "simulator": {**dataset["simulator"], **SMALL}}


def loaded(root: Path, **changes: Any) -> Dataset:
    return load_dataset(small(**changes), root, root / "cache")


def same(one: Rows, other: Rows) -> bool:
    fields = ("user", "history", "offsets", "target", "timestamp")
    return all(np.array_equal(getattr(one, field), getattr(other, field)) for field in fields)


def test_the_cached_set_is_used_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loaded(tmp_path)
    monkeypatch.setattr(load, "prepare", lambda *_: pytest.fail("prepared again"))
    again = loaded(tmp_path)
    assert again.items.ids == first.items.ids
    assert again.items.titles == first.items.titles
    for split in ("train", "sample", "valid", "test"):
        assert same(getattr(first, split), getattr(again, split))
    assert (again.report, again.best_ndcg10) == (first.report, first.best_ndcg10)
    assert [path.name for path in (tmp_path / "cache/datasets").iterdir()] == [f"games-sim-{first.content_hash[:12]}"]


def test_other_settings_take_another_folder(tmp_path: Path) -> None:
    loaded(tmp_path)
    loaded(tmp_path, k_core=4)
    assert len(list((tmp_path / "cache/datasets").iterdir())) == 2


@pytest.mark.parametrize("module", ["kcore.py", "split.py", "windows.py", "simulator.py", "load.py"])
def test_a_set_that_other_code_made_is_not_reused(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(tmp_path)
    edit(monkeypatch, f"datasets/{module}")
    loaded(tmp_path)
    assert len(list((tmp_path / "cache/datasets").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "module"),
    [("msl", "readers/msl_tables.py"), ("generic", "readers/from_tables.py"), ("movielens", "tables.py")],
)
def test_the_code_of_a_reader_is_part_of_the_key_of_its_set(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = {"msl": write_msl, "generic": write_generic, "movielens": partial(write_movielens, layout="100k")}[name]
    write(tmp_path / "games")
    before = locate(group(), tmp_path, tmp_path / "cache")
    edit(monkeypatch, f"datasets/{module}")
    after = locate(group(), tmp_path, tmp_path / "cache")
    assert before.kind == after.kind == name
    assert before.content_hash != after.content_hash


def test_code_that_reads_no_data_leaves_the_set_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = locate(small(), tmp_path, tmp_path / "cache")
    edit(monkeypatch, "decoding/beam_search.py", "objectives/msl.py", "prompts/prompts.py")
    assert locate(small(), tmp_path, tmp_path / "cache") == before


def test_a_set_that_the_user_prepared_is_data_whatever_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cached_folder(tmp_path), tmp_path / "data/games")
    before = locate(group(source="real"), tmp_path / "data", tmp_path / "cache")
    edit(monkeypatch, "datasets/split.py")
    assert locate(group(source="real"), tmp_path / "data", tmp_path / "cache") == before


def test_arrays_have_the_promised_types(tmp_path: Path) -> None:
    train = loaded(tmp_path).train
    assert {type(user) for user in train.user} == {str}
    found = [train.history.dtype, train.target.dtype, train.offsets.dtype, train.timestamp.dtype]
    assert found == [np.int32, np.int32, np.int64, np.int64]
    assert train.target.flags.writeable


def cached_folder(root: Path) -> Path:
    loaded(root)
    return prepared_folder(locate(small(), root, root / "cache"), root / "cache")


@pytest.mark.parametrize("name", ["train.parquet", "interactions.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_damaged_set_of_the_cache_is_made_anew(name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    file = cached_folder(tmp_path) / name
    content = file.read_bytes()
    damage(file)
    loaded(tmp_path)
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["train.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_set_of_the_users_is_named(name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "data/games" / name
    shutil.copytree(cached_folder(tmp_path), file.parent)
    damage(file)
    with pytest.raises(InputError, match=rf"{file.parent}.*{name}.*[Pp]repare the set again"):
        load_dataset(group(source="real"), tmp_path / "data", tmp_path / "elsewhere")
    assert file.exists()


@pytest.mark.parametrize("change", [{"content_hash": "other"}, {"format": 0}])
def test_a_manifest_of_other_data_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    folder = cached_folder(tmp_path)
    manifest = {**json.loads((folder / "manifest.json").read_text()), **change}
    del manifest["digest"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"another version or other data\. Delete the folder"):
        read_prepared(folder, folder.name, tmp_path)


def test_a_prepared_set_is_a_source_and_stays_simulated(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    shutil.copytree(cached_folder(tmp_path), tmp_path / "data/games")
    again = load_dataset(group(source="real"), tmp_path / "data", tmp_path / "elsewhere")
    assert (again.name, again.simulated, again.content_hash) == ("games-sim", True, first.content_hash)
    assert same(again.test, first.test)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_whose_manifest_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    (tmp_path / "games/manifest.json").write_text("[]")
    with pytest.raises(InputError, match=r"manifest\.json: not the manifest of a prepared set .*Prepare the set again"):
        load_dataset(group(), tmp_path, tmp_path / "cache")


def test_a_seeded_draw_from_train(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, train_samples=50)
    assert len(dataset.sample) == 50
    assert same(dataset.sample, loaded(tmp_path, train_samples=50).sample)
    assert not same(dataset.sample, loaded(tmp_path, train_samples=50, sample_seed=1).sample)
    assert same(loaded(tmp_path, train_samples=None).sample, dataset.train)


LINES = [f'7,"[1, {1 + n % 5}]",{n}' for n in range(20)]
PUBLISHED = [9, 4, 17, 19, 2]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(5, [9, 4, 17, 2]), (None, list(range(18))), (6, None), (18, list(range(18)))],
)
def test_the_published_sample(tmp_path: Path, size: int | None, expected: list[int] | None) -> None:
    folder = tmp_path / "games"
    write_msl(folder, train=LINES, valid=None, test=['9,"[3, 4]",40'], train_5=[LINES[n] for n in PUBLISHED])
    dataset = load_dataset(group(train_samples=size), tmp_path, tmp_path / "cache")
    found = dataset.sample.timestamp.tolist()
    assert found == expected or (expected is None and len(set(found)) == 6)


def test_a_smaller_sample_is_drawn_from_the_published_one(tmp_path: Path) -> None:
    write_msl(tmp_path / "games", train=LINES, test=["9,\"[3, 4]\",40"], valid=["9,\"[3, 4]\",30"],
              train_5=[LINES[n] for n in PUBLISHED])  # fmt: skip
    dataset = load_dataset(group(train_samples=3), tmp_path, tmp_path / "cache")
    assert len(dataset.sample) == 3
    assert set(dataset.sample.timestamp.tolist()) < set(PUBLISHED)
    assert dataset.report["sample"]["rows"] == 3


def test_a_large_file_is_hashed_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(tmp_path)
    (folder,) = (tmp_path / "cache/datasets").iterdir()
    content_hash = json.loads((folder / "manifest.json").read_text())["content_hash"]
    monkeypatch.setattr(prepared, "LARGE_BYTES", 0)
    read_prepared(folder, content_hash, tmp_path / "cache")
    with monkeypatch.context() as context:
        context.setattr(prepared, "_sha256", lambda _: pytest.fail("hashed again"))
        context.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
        read_prepared(folder, content_hash, tmp_path / "cache")
    train = folder / "train.parquet"
    train.write_bytes(train.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"train\.parquet is not the file that was written"):
        read_prepared(folder, content_hash, tmp_path / "cache")
