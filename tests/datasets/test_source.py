import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmrec.datasets.source import locate
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic, write_msl

NAMES = ["books", "clothing", "games", "office", "toys"]


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_dataset_has_a_simulation(tmp_path: Path, name: str) -> None:
    source = locate(group(name), tmp_path)
    assert (source.kind, source.path, source.name, source.simulated) == ("simulated", None, f"{name}-sim", True)


def test_the_wording_is_the_papers() -> None:
    wording = {name: tuple(group(name)["wording"].values()) for name in NAMES}
    assert wording == {
        "games": ("video game", "video games", "played"),
        "toys": ("toy", "toys", "played"),
        "books": ("book", "books", "read"),
        "clothing": ("clothing", "clothing", "worn"),
        "office": ("office product", "office products", "used"),
    }


def test_the_real_folder_is_taken_when_it_is_there(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    source = locate(group(), tmp_path)
    assert (source.kind, source.path, source.name, source.simulated) == ("msl", folder, "games", False)
    assert locate(group(source="simulated"), tmp_path).name == "games-sim"


def test_the_generic_layout_is_seen(tmp_path: Path) -> None:
    write_generic(tmp_path / "games")
    assert locate(group(), tmp_path).kind == "generic"


def test_absence_with_source_real_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no folder {tmp_path}/games\. Set LLMREC_DATA .*dataset\.source=simulated"):
        locate(group(source="real"), tmp_path)


def test_a_set_without_a_simulation_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        locate(group(simulator={"users": 10}), tmp_path)


def test_an_unknown_layout_lists_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "games").mkdir()
    with pytest.raises(InputError, match=r"no known layout\. Expected .*id2name4Rec\.json.*interactions.*manifest"):
        locate(group(), tmp_path)


def test_the_hash_follows_data_and_shaping_settings_only(tmp_path: Path) -> None:
    folder = write_msl(tmp_path / "games")
    before = locate(group(), tmp_path).content_hash
    assert locate(group(train_samples=5, wording={}, k_core=2), tmp_path).content_hash == before
    assert locate(group(hold_out=0.2), tmp_path).content_hash != before
    (folder / "notes.csv").write_text("not part of the set", encoding="utf-8")
    assert locate(group(), tmp_path).content_hash == before
    (folder / "test.csv").write_text("user_id,item_ids,timestamp\n", encoding="utf-8")
    assert locate(group(), tmp_path).content_hash != before


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
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path: Path, key: str, value: Any) -> None:
    changes: dict[str, Any] = {key: value}
    with pytest.raises(InputError, match=rf"dataset\.{key}=.* cannot be used: give"):
        locate(group(**changes), tmp_path)


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    dataset = group()
    del dataset["k_core"]
    with pytest.raises(InputError, match=r"dataset\.k_core is not set\. Begin its YAML with"):
        locate(dataset, tmp_path)


def test_a_missing_simulator_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.simulator\.items is not set\. Give it as"):
        locate(group(simulator={"seed": 1, "titles": {}}), tmp_path)


def test_locating_imports_nothing_heavy() -> None:
    code = "import sys, llmrec.datasets.source; assert not {'numpy', 'torch', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
