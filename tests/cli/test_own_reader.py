"""A reader that a user adds with one Python file and one YAML."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import DEBUG, Done, Workplace
from tests.datasets.layouts import write_lines

READER = """
import json

from llmrec.datasets.readers.interaction_reader import InteractionReader


class JsonLines(InteractionReader):
    layouts = (("events-*.jsonl", "items.jsonl"),)

    def __init__(self, title: str):
        self.title = title

    def read(self, folder):
        import numpy as np

        from llmrec.catalogue.items import Items
        from llmrec.datasets.interactions import Interactions

        parts, (items,) = self.layout_files(folder)
        catalogue = [json.loads(line) for line in items.read_text().splitlines()]
        events = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
        ids = [item["id"] for item in catalogue]
        users, user = np.unique([event["who"] for event in events], return_inverse=True)
        return Items(ids, [item[self.title] for item in catalogue]), Interactions(
            user_ids=users,
            user=user.astype(np.int32),
            item=np.array([ids.index(event["what"]) for event in events], dtype=np.int32),
            timestamp=np.array([event["when"] for event in events]),
        )
"""
YAML = """
_target_: my_readers.JsonLines
title: name
"""


@pytest.fixture
def place(trained: tuple[Workplace, Done], tmp_path: Path) -> Workplace:
    """A folder with the user's two files."""
    (tmp_path / "conf/dataset/reader").mkdir(parents=True)
    (tmp_path / "my_readers.py").write_text(READER)
    (tmp_path / "conf/dataset/reader/json_lines.yaml").write_text(YAML)
    return Workplace(tmp_path, trained[0].cache)


def write_json_lines(folder: Path) -> Path:
    """Twelve users with ten of ten items each, one per day, in two parts: 72 windows with four events before them."""
    folder.mkdir(parents=True)
    items = [{"id": f"i{n}", "name": f"Title {n}", "heading": f"Heading {n}"} for n in range(10)]
    write_lines(folder / "items.jsonl", [json.dumps(item) for item in items])
    for part, users in enumerate((range(7), range(7, 12))):
        events = [
            {"who": f"u{user}", "what": f"i{(user + step) % 10}", "when": 86_400 * (user + step)}
            for user in users
            for step in range(10)
        ]
        write_lines(folder / f"events-{part}.jsonl", [json.dumps(event) for event in events])
    return folder


def test_two_files_add_a_reader_that_runs_train_from(place: Workplace) -> None:
    assert sum(path.is_file() for path in place.root.rglob("*")) == 2
    write_json_lines(place.data / "games")
    arguments = ("--config-dir", "conf", "dataset=games", "dataset/reader=json_lines", "dataset.source=real")
    done = place.run(
        "llmrec.run", *arguments, "objective=sft", *DEBUG, "logger=csv", "evaluation.users=5", "dataset.reference=null"
    )
    assert done.status == 0, done.output
    assert f"real data: games from {place.data}/games (jsonlines layout)" in done.output
    assert "10 items (10 titles), 12 users\nrows: train 57 " in done.output
    assert done.run().parents[3] == place.runs / "games"


def test_a_dataset_chooses_its_reader_in_its_own_yaml(place: Workplace) -> None:
    (place.root / "conf/dataset/shop.yaml").write_text(
        "defaults:\n  - shared/base@_here_\n  - override reader: json_lines\n  - _self_\n"
        "name: shop\nwording: {item: product, items: products, verb: bought}\nreader: {title: heading}\n"
    )
    done = place.run(
        "llmrec.run", "--config-dir", "conf", "dataset=shop", "--cfg", "job", "--package", "dataset.reader"
    )
    assert "_target_: my_readers.JsonLines\ntitle: heading\n" in done.output


@pytest.mark.parametrize(
    ("reader", "title"),
    [
        (("--config-dir", "conf", "reader=json_lines"), "Title 0"),
        (("--config-dir=conf", "reader=json_lines", "dataset.reader.title=heading"), "Heading 0"),
        (("reader=my_readers.JsonLines", "dataset.reader.title=heading"), "Heading 0"),
    ],
)
def test_prepare_takes_a_reader_by_its_yaml_or_its_class(reader: tuple[str, ...], title: str, place: Workplace) -> None:
    path = write_json_lines(place.root / "downloads/games")
    done = place.run("llmrec.prepare", *reader, f"path={path}", "dataset.min_history=6")
    assert done.status == 0, done.output
    assert "120 interactions of 12 users with 10 items in the 5-core\n" in done.output
    options = "--config-dir conf " if "--config-dir" in reader[0] else ""
    assert done.last_line().endswith(f"python -m llmrec.run {options}dataset=games dataset.min_history=6")
    assert json.loads((place.data / "games/manifest.json").read_text())["layout"] == "jsonlines"
    assert title.encode() in (place.data / "games/items.parquet").read_bytes()


def test_a_setting_without_a_value_is_named(place: Workplace) -> None:
    path = write_json_lines(place.root / "downloads/games")
    done = place.run("llmrec.prepare", "reader=my_readers.JsonLines", f"path={path}")
    assert done.status == 2
    assert "dataset.reader.title is not set: give text" in done.output
