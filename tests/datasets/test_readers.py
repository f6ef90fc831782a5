"""Choosing a reader, the files of its layout, and what makes its dataset another one."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llmrec.datasets.load import load_dataset
from llmrec.datasets.prepared import Splits
from llmrec.datasets.readers.base import Reader
from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.source import Source, locate
from llmrec.errors import InputError
from tests.code_changes import rewrite
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl

READERS = "llmrec.datasets.readers"
MODULE = """
from my_separator import SEPARATOR

from llmrec.datasets.readers.interaction_reader import InteractionReader


class Own(InteractionReader):
    layouts = (("log.txt",),)

    def __init__(self, encoding="utf-8"):
        self.encoding = encoding

    def read(self, folder):
        raise NotImplementedError
"""


class Parts(Reader):
    """Two forms of a layout with several files each, and files that may be absent."""

    layouts = (("events-*.json", "items.json"), ("*/events.csv", "items.json"))
    optional = ("users.*",)
    shaping = ("depth",)

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> Splits:
        """Reads nothing."""
        raise NotImplementedError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's reader, which imports another module, and with a dataset in its layout."""
    (tmp_path / "my_reader.py").write_text(MODULE)
    (tmp_path / "my_separator.py").write_text("SEPARATOR = 1\n")
    (tmp_path / "games").mkdir()
    (tmp_path / "games/log.txt").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in ("my_reader", "my_separator"):
        sys.modules.pop(module, None)


def located(root: Path, target: str, **settings: Any) -> Source:
    return locate(group(reader={"_target_": target, **settings}), root, root / "cache")


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_every_pattern_of_a_form_needs_a_file(tmp_path: Path) -> None:
    assert not Parts().matches(touched(tmp_path, "events-1.json", "users.csv"))
    assert Parts().files(tmp_path) == []
    assert Parts().matches(touched(tmp_path, "items.json"))


def test_files_are_all_that_the_patterns_match(tmp_path: Path) -> None:
    touched(tmp_path, "events-2.json", "events-1.json", "items.json", "users.csv", "users.txt", "notes.txt")
    assert [file.name for file in Parts().files(tmp_path)] == [
        "events-1.json", "events-2.json", "items.json", "users.csv", "users.txt",
    ]  # fmt: skip
    events, items = Parts().layout_files(tmp_path)
    assert ([file.name for file in events], [file.name for file in items]) == (
        ["events-1.json", "events-2.json"],
        ["items.json"],
    )


def test_the_first_form_that_a_folder_has_is_read(tmp_path: Path) -> None:
    touched(tmp_path, "2014/events.csv", "2018/events.csv", "items.json")
    assert [file.parent.name for file in Parts().layout_files(tmp_path)[0]] == ["2014", "2018"]
    touched(tmp_path, "events-1.json")
    assert [file.name for file in Parts().layout_files(tmp_path)[0]] == ["events-1.json"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    touched(tmp_path, "events-1.json/part", "items.json")
    assert not Parts().matches(tmp_path)


def test_a_reader_refuses_another_layout_with_the_one_it_expects(tmp_path: Path) -> None:
    write_generic(tmp_path / "games")
    expected = (
        r"games is not in the layout of the reader movielens\. Expected u\.data with u\.item, or ratings\.dat with"
    )
    with pytest.raises(InputError, match=expected):
        located(tmp_path, f"{READERS}.movielens.MovieLens")


@pytest.mark.parametrize(
    ("target", "write"),
    [
        ("msl.MSL", write_msl),
        ("generic.Generic", write_generic),
        ("movielens.MovieLens", partial(write_movielens, layout="1m")),
    ],
)
def test_naming_the_reader_that_auto_takes_gives_the_same_set(
    target: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    write(tmp_path / "games")
    named, found = located(tmp_path, f"{READERS}.{target}"), located(tmp_path, f"{READERS}.auto.Auto")
    assert named == found
    assert named.kind == found.kind == target.partition(".")[0]


def test_a_folder_in_two_layouts_is_read_by_the_reader_that_is_named(tmp_path: Path) -> None:
    write_msl(tmp_path / "games")
    write_generic(tmp_path / "generic")
    for file in (tmp_path / "generic").iterdir():
        file.rename(tmp_path / "games" / file.name)
    assert located(tmp_path, f"{READERS}.auto.Auto").kind == "msl"
    assert located(tmp_path, f"{READERS}.generic.Generic").kind == "generic"


def test_settings_of_the_reader_make_another_set_unless_they_are_the_default(own: Path) -> None:
    default = located(own, "my_reader.Own")
    assert located(own, "my_reader.Own", encoding="utf-8") == default
    assert located(own, "my_reader.Own", encoding="latin-1").content_hash != default.content_hash


@pytest.mark.parametrize("module", ["my_reader.py", "my_separator.py"])
def test_the_code_of_a_users_reader_is_part_of_the_key(module: str, own: Path) -> None:
    before = located(own, "my_reader.Own").content_hash
    rewrite(own / module, (own / module).read_text() + "CHANGED = True\n")
    assert located(own, "my_reader.Own").content_hash != before


def test_a_file_in_another_folder_makes_another_set(own: Path) -> None:
    source = touched(own / "games", "a/events.csv", "items.json")
    reader = {"_target_": f"{__name__}.Parts"}
    before = locate(group(reader=reader, depth=1), own, own / "cache").content_hash
    (source / "a").rename(source / "b")
    assert locate(group(reader=reader, depth=1), own, own / "cache").content_hash != before


def test_a_setting_that_the_reader_needs_is_named(own: Path) -> None:
    touched(own / "games", "events-1.json", "items.json")
    with pytest.raises(InputError, match=r"dataset\.depth is not set, but the reader parts uses it"):
        located(own, f"{__name__}.Parts")


def test_a_prepared_set_is_used_whatever_the_reader(tmp_path: Path) -> None:
    write_generic(tmp_path / "raw/games")
    dataset = group(source="real")
    first = load_dataset(dataset, tmp_path / "raw", tmp_path / "cache")
    (made,) = (tmp_path / "cache/datasets").iterdir()
    (tmp_path / "data").mkdir()
    made.rename(tmp_path / "data/games")
    source = located(tmp_path / "data", f"{READERS}.generic.Generic")
    assert (source.kind, source.content_hash) == ("prepared", first.content_hash)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("auto", r"dataset\.reader=auto has no _target_\. Choose a reader by its name: dataset/reader=auto"),
        ({"encoding": "utf-8"}, r"has no _target_"),
        ({"_target_": 7}, r"has no _target_"),
        ({"_target_": "Nameless"}, r"_target_=Nameless cannot be imported"),
        ({"_target_": "nowhere.Own"}, r"_target_=nowhere\.Own cannot be imported .*PYTHONPATH"),
        ({"_target_": f"{READERS}.msl.Own"}, r"_target_=.*Own cannot be imported .*no attribute"),
        ({"_target_": "os.system"}, r"_target_=os\.system is no reader\. Name a subclass of"),
        ({"_target_": "pathlib.Path"}, r"is no reader"),
        ({"_target_": f"{READERS}.interaction_reader.InteractionReader"}, r"is no reader"),
        (
            {"_target_": "my_reader.Own", "depth": 1},
            r"dataset\.reader\.depth: there is no such setting\. Choose one of encoding",
        ),
        ({"_target_": f"{READERS}.msl.MSL", "depth": 1}, r"reader\.depth: there is no such setting, because"),
    ],
)
@pytest.mark.usefixtures("own")
def test_a_config_that_is_no_readers_is_refused(config: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_reader(config)
