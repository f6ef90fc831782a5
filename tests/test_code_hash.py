"""Which files modules import, and which changes of a file change its digest."""

import sys
from pathlib import Path

import pytest

from llmrec import code_hash
from llmrec.code_hash import PACKAGE, file_digest, imported_files
from llmrec.errors import InputError
from tests.code_changes import users_package

FILES_OF_OTHER = ("__init__.py", "inner/__init__.py", "inner/deep.py")
SOURCE = '"""What it is."""\n\n\nclass Mine:\n    """A class."""\n\n    weight = 1.0  # as published\n'


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("  # as published", "  # our reading", True),
        ("A class.", "Another text.", True),
        ("What it is.", "What it was.", True),
        ("weight = 1.0", "weight = (\n        1.0\n    )", True),
        ("weight = 1.0", "weight = 2.0", False),
        ("weight = 1.0", "weight = None", False),
        ("weight = 1.0", "weight = []", False),
        ("class Mine", "class Ours", False),
        ("class Mine", "@final\nclass Mine", False),
    ],
)
def test_the_digest_of_a_module_is_that_of_its_syntax(old: str, new: str, same: bool, tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(SOURCE)
    other.write_text(SOURCE.replace(old, new))
    assert (file_digest(one) == file_digest(other)) == same


@pytest.mark.parametrize(
    "statement",
    [
        "import mine.helper",
        "import mine.helper as other",
        "from mine.helper import SCALE",
        "from mine import helper",
        "from . import helper",
        "from .helper import SCALE",
        "def later():\n    from mine.helper import SCALE",
        "from mine import circle",
        "import importlib\n\nhelper = importlib.import_module('mine.helper')",
        "from importlib import import_module\n\nhelper = import_module('.helper', __package__)",
        "helper = __import__('mine.helper')",
    ],
)
def test_every_way_to_import_a_module_is_followed(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = users_package(tmp_path, monkeypatch, statement)
    (package / "circle.py").write_text("from mine import helper, objective\n")
    expected = {package / "__init__.py", package / "objective.py", package / "helper.py"}
    assert imported_files(["mine.objective"]) - {package / "circle.py"} == expected


def test_a_stop_is_followed_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = users_package(tmp_path, monkeypatch, "from mine import helper")
    assert imported_files(["mine.objective"], {"mine.helper"}) == {package / "__init__.py", package / "objective.py"}
    assert package / "helper.py" in imported_files(["mine.helper"], {"mine.helper"})


def test_modules_are_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = users_package(tmp_path, monkeypatch, "from mine import helper\nraise RuntimeError")
    (package / "__init__.py").write_text("raise RuntimeError\n")
    imported_files(["mine.objective"])
    assert "mine" not in sys.modules


def test_a_file_that_is_no_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = users_package(tmp_path, monkeypatch, "from mine import helper")
    (package / "helper.py").write_text("def\n")
    with pytest.raises(InputError, match=r"mine/helper\.py cannot be parsed as Python: .*line 1"):
        imported_files(["mine.objective"])


@pytest.mark.parametrize("is_installed", [True, False])
def test_packages_of_any_folder_that_pip_installs_into_are_not_followed(
    is_installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `pip install --target`. The source of an editable installation has no RECORD."""
    target = tmp_path / "target"
    (target / "other" / "inner").mkdir(parents=True)
    for file in FILES_OF_OTHER:
        (target / "other" / file).write_text("")
    facts = target / "other-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    if is_installed:
        (facts / "RECORD").write_text("".join(f"other/{file},,\n" for file in FILES_OF_OTHER))
    monkeypatch.syspath_prepend(str(target))
    package = users_package(tmp_path, monkeypatch, "import other.inner.deep")
    followed = {file for file in imported_files(["mine.objective"]) if file.is_relative_to(target)}
    assert followed == (set() if is_installed else {target / "other" / name for name in FILES_OF_OTHER})
    assert package / "objective.py" in imported_files(["mine.objective"])


def test_installed_and_absent_modules_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = "import json, numpy, torch.nn, nobody.knows\nfrom torch import Tensor\nfrom ..above import x"
    package = users_package(tmp_path, monkeypatch, statement)
    assert imported_files(["mine.objective"]) == {package / "__init__.py", package / "objective.py"}


@pytest.mark.parametrize(
    "statement",
    ["from llmrec.objectives.msl import MSL", "from llmrec.objectives import msl", "import llmrec.objectives.msl"],
)
def test_modules_of_llmrec_are_followed(statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users_package(tmp_path, monkeypatch, statement)
    assert PACKAGE / "objectives" / "msl.py" in imported_files(["mine.objective"])


MODULE = "llmrec.objectives.gdrt"


def read_anew() -> tuple[set[Path], dict[Path, str]]:
    """What is imported and its digests, as a new process finds them."""
    code_hash._read.cache_clear()
    code_hash._parsed.cache_clear()
    files = imported_files([MODULE])
    return files, {file: file_digest(file) for file in files}


def test_saved_results_of_parsing_are_those_of_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_hash, "PARSED", tmp_path / "cache/parsed.json")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    parsed = read_anew()
    code_hash._save(code_hash._parsed(), 0)
    monkeypatch.setattr(code_hash, "_parse", lambda *_: pytest.fail("parsed again"))
    assert read_anew() == parsed


@pytest.mark.parametrize("damage", ["cut short", "another form", "other code"])
def test_saved_results_that_cannot_be_used_are_not(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_hash, "PARSED", tmp_path / "parsed.json")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    parsed = read_anew()
    code_hash._save({key: code_hash._Code("wrong", []) for key in code_hash._parsed()}, 0)
    if damage == "cut short":
        code_hash.PARSED.write_text(code_hash.PARSED.read_text()[:-3])
    elif damage == "another form":
        code_hash.PARSED.write_text("[1]")
    else:
        monkeypatch.setattr(code_hash, "_own_hash", lambda: "another")
    assert read_anew() == parsed


def test_a_package_that_cannot_be_written_to_is_parsed_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(code_hash, "PARSED", tmp_path / "file/parsed.json")
    parsed = read_anew()
    code_hash._save(code_hash._parsed(), 0)
    assert read_anew() == parsed
