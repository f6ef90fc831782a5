"""The commands of docs/data.md work as they are printed, on small dumps in the layouts that they name."""

import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from llmrec.conf_dir import conf_dir
from llmrec.prepare import main
from tests.datasets.dumps import write_amazon, write_minionerec, write_recbole, write_sdpo
from tests.datasets.layouts import write_generic, write_movielens, write_msl
from tests.datasets.review_dumps import (
    write_goodreads,
    write_goodreads_csv,
    write_lastfm,
    write_lcrec,
    write_steam,
    write_yelp,
)
from tests.tiers import rest_slow

PAGE = (Path(__file__).resolve().parents[2] / "docs/data.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\| [^|]+ \| `(.+?)` \|", PAGE, re.MULTILINE)


def amazon(folder: Path, year: int, category: str) -> None:
    for file in list(write_amazon(folder, year).iterdir()):
        file.rename(file.with_name(file.name.replace("Games", category)))


def own(folder: Path) -> None:
    write_generic(folder)
    (folder / "interactions.csv").rename(folder / "orders.csv")
    (folder / "items.csv").rename(folder / "products.csv")


WRITERS: dict[str, Callable[[Path], object]] = {
    "office14": partial(amazon, year=2014, category="Office_Products"),
    "games18": partial(amazon, year=2018, category="Video_Games"),
    "games23": partial(amazon, year=2023, category="Video_Games"),
    "movielens_1m": partial(write_movielens, layout="1m"),
    "ml": write_recbole,
    "children": partial(write_goodreads, genre="_children"),
    "goodreads": write_goodreads_csv,
    "steam": write_steam,
    "yelp": write_yelp,
    "lastfm1k": write_lastfm,
    "arts": write_lcrec,
    "office18": write_minionerec,
    "books": write_msl,
    "lastfm": write_sdpo,
    "orders": own,
}
"""How to write a dump for the command that makes a set of this name."""


@pytest.mark.parametrize("command", rest_slow(COMMANDS, kept=3))
def test_each_command_prepares_the_same_set_twice(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = shlex.split(command)
    values = dict(argument.split("=", 1) for argument in arguments)
    name = Path(values["out"]).name
    WRITERS[name](tmp_path / values["path"])
    monkeypatch.chdir(tmp_path)
    for out in (values["out"], f"again/{name}"):
        monkeypatch.setattr(sys, "argv", ["llmrec prepare", *arguments, f"out={out}"])
        main()
    first, second = (sorted((tmp_path / out).iterdir()) for out in (values["out"], f"again/{name}"))
    assert "manifest.json" in [file.name for file in first]
    assert [file.name for file in first] == [file.name for file in second]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_every_reader_has_a_command() -> None:
    readers = {file.stem for file in (Path(conf_dir()) / "dataset/reader").glob("*.yaml")} - {"auto", "generic"}
    assert readers == {match for command in COMMANDS for match in re.findall(r"reader=(\w+)", command)}
    assert len(COMMANDS) == len(WRITERS)
