import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl

NAMES = ["books", "clothing", "games", "movielens_100k", "movielens_1m", "office", "toys"]


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_dataset_has_a_simulation(tmp_path: Path, name: str) -> None:
    source = locate(group(name), tmp_path, tmp_path / "cache")
    assert (source.kind, source.path, source.name, source.simulated) == ("simulated", None, f"{name}-sim", True)


def test_the_wording_is_the_papers() -> None:
    wording = {name: tuple(group(name)["wording"].values()) for name in NAMES}
    assert wording == {
        "games": ("video game", "video games", "played"),
        "toys": ("toy", "toys", "played"),
        "books": ("book", "books", "read"),
        "clothing": ("clothing", "clothing", "worn"),
        "office": ("office product", "office products", "used"),
        # Not of those papers' data: the words are ours.
        "movielens_100k": ("movie", "movies", "watched"),
        "movielens_1m": ("movie", "movies", "watched"),
    }


def test_the_real_folder_is_taken_when_it_is_there(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    source = locate(group(), tmp_path, tmp_path / "cache")
    assert (source.kind, source.path, source.name, source.simulated) == ("msl", folder, "games", False)
    assert locate(group(source="simulated"), tmp_path, tmp_path / "cache").name == "games-sim"


def test_the_generic_layout_is_seen(tmp_path: Path) -> None:
    write_generic(tmp_path / "games")
    assert locate(group(), tmp_path, tmp_path / "cache").kind == "generic"


@pytest.mark.parametrize("layout", ["100k", "1m", "latest"])
def test_the_movielens_layouts_are_seen(tmp_path: Path, layout: str) -> None:
    folder = write_movielens(tmp_path / "movielens_100k", layout)
    source = locate(group("movielens_100k"), tmp_path, tmp_path / "cache")
    assert (source.kind, source.path, source.name, source.simulated) == ("movielens", folder, "movielens_100k", False)


def test_a_movielens_dump_is_known_by_its_files_and_what_shapes_it(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "movielens_100k", "100k")
    before = locate(group("movielens_100k"), tmp_path, tmp_path / "cache").content_hash
    (folder / "u.user").write_text("1|24|M|technician|85711\n", encoding="utf-8")
    assert (
        locate(group("movielens_100k", hold_out=0.2, wording=None), tmp_path, tmp_path / "cache").content_hash == before
    )
    assert locate(group("movielens_100k", k_core=2), tmp_path, tmp_path / "cache").content_hash != before
    with (folder / "u.data").open("a", encoding="utf-8") as file:
        file.write("1\t7\t5\t99\n")
    assert locate(group("movielens_100k"), tmp_path, tmp_path / "cache").content_hash != before


def test_raw_files_are_read_once_for_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_generic(tmp_path / "games")
    read, digest = [], hashlib.file_digest

    def counted(file: BinaryIO, name: str) -> Any:
        read.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for _ in range(6):
        locate(group(), tmp_path, tmp_path / "cache")
    assert sorted(read) == ["interactions.csv", "items.csv"]


def test_half_a_movielens_dump_is_no_layout(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "movielens_100k", "100k")
    (folder / "u.item").unlink()
    with pytest.raises(InputError, match=r"no known layout.*u\.data with u\.item, or ratings\.dat.*ratings\.csv"):
        locate(group("movielens_100k"), tmp_path, tmp_path / "cache")


def test_absence_with_source_real_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no folder {tmp_path}/games\. Set LLMREC_DATA .*dataset\.source=simulated"):
        locate(group(source="real"), tmp_path, tmp_path / "cache")


def test_a_set_without_a_simulation_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        locate(group(simulator={"users": 10}), tmp_path, tmp_path / "cache")


def test_an_unknown_layout_lists_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    with pytest.raises(InputError, match=r"no known layout\. Expected .*id2name4Rec\.json.*interactions.*manifest"):
        locate(group(), tmp_path, tmp_path / "cache")


def test_the_hash_follows_data_and_shaping_settings_only(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    before = locate(group(), tmp_path, tmp_path / "cache").content_hash
    assert locate(group(train_samples=5, wording=None, k_core=2), tmp_path, tmp_path / "cache").content_hash == before
    assert locate(group(hold_out=0.2), tmp_path, tmp_path / "cache").content_hash != before
    (folder / "notes.csv").write_text("not part of the set", encoding="utf-8")
    assert locate(group(), tmp_path, tmp_path / "cache").content_hash == before
    (folder / "test.csv").write_text("user_id,item_ids,timestamp\n", encoding="utf-8")
    assert locate(group(), tmp_path, tmp_path / "cache").content_hash != before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "hub"),
        ("train_samples", 0),
        ("train_samples", "all"),
        ("hold_out", 1.0),
        ("k_core", 0),
        ("min_history", 0),
        ("max_history", 3),
        ("split", [0.8, 0.2]),
        ("split", [0.8, 0.1, 0.2]),
        ("split", 0.8),
        ("split", ["most", 0.1, 0.1]),
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path: Path, key: str, value: Any) -> None:
    changes: dict[str, Any] = {key: value}
    with pytest.raises(InputError, match=rf"dataset\.{key}=.*: (give|choose)"):
        locate(group(**changes), tmp_path, tmp_path / "cache")


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    dataset = group()
    del dataset["k_core"]
    with pytest.raises(InputError, match=r"dataset\.k_core is not set: .*\. Begin the YAML of the dataset with"):
        locate(dataset, tmp_path, tmp_path / "cache")


def test_a_missing_simulator_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.simulator\.items is not set\. Give it as"):
        locate(group(simulator={"seed": 1, "titles": group()["simulator"]["titles"]}), tmp_path, tmp_path / "cache")


def test_a_simulator_with_half_a_rating_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.simulator\.ratings=0\.5: give true or false"):
        locate(group(simulator={**group()["simulator"], "ratings": 0.5}), tmp_path, tmp_path / "cache")


def test_locating_imports_nothing_heavy() -> None:
    code = """
import sys
from pathlib import Path
import llmrec.datasets.source
from llmrec.datasets.readers.auto import Auto, SHIPPED

assert not Auto().matches(Path.cwd())
assert {target.rpartition(".")[0] for target in SHIPPED} < set(sys.modules)
assert not {"numpy", "torch", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
