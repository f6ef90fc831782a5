"""A dump made into a prepared set, which the other commands then find."""

import json
from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import load_dataset
from tests.cli.commands import Workplace
from tests.datasets.dumps import write_amazon
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, tmp_path / "cache")


def load(data: Path, cache: Path, name: str) -> Dataset:
    return load_dataset(group("movielens_100k", name=name, source="real"), data, cache)


@pytest.mark.parametrize(("layout", "name"), [("100k", "movielens_100k"), ("latest", "movielens_latest")])
def test_a_prepared_dump_gives_the_rows_of_the_dump(layout: str, name: str, place: Workplace, tmp_path: Path) -> None:
    dump = write_movielens(tmp_path / "downloads" / name, layout)
    done = place.typed("llmrec.prepare", "reader=movielens", f"path={dump}")
    assert done.status == 0, done.output
    found, expected = load(place.data, place.cache, name), load(dump.parent, place.cache, name)
    assert (found.items.ids, found.items.titles) == (expected.items.ids, expected.items.titles)
    assert found.items.categories == expected.items.categories
    for split in ("train", "valid", "test"):
        for field in ("user", "history", "offsets", "target", "timestamp"):
            assert np.array_equal(getattr(getattr(found, split), field), getattr(getattr(expected, split), field))
    assert found.content_hash == expected.content_hash


def test_what_was_made_and_what_comes_next_is_said(place: Workplace, tmp_path: Path) -> None:
    dump = write_movielens(tmp_path / "ml-100k", "100k")
    done = place.run("llmrec.prepare", "reader=movielens", f"path={dump}", "out=sets/movielens_100k")
    assert done.status == 0, done.output
    assert "120 interactions of 12 users with 10 items in the 5-core\n" in done.output
    assert "train: 57 rows of " in done.output
    assert f"written to {tmp_path}/sets/movielens_100k in " in done.output
    assert done.last_line() == f"next: LLMREC_DATA={tmp_path}/sets python -m llmrec.run dataset=movielens_100k"


def test_settings_shape_the_set(place: Workplace, tmp_path: Path) -> None:
    dump = write_movielens(tmp_path / "ml-1m", "1m")
    done = place.run(
        "llmrec.prepare", "reader=movielens", f"path={dump}", "dataset.min_history=6", "dataset.split=[0.5,0.25,0.25]"
    )
    assert done.status == 0, done.output
    # 12 users with four windows each.
    assert "train: 24 rows of " in done.output
    assert (place.data / "movielens_1m/manifest.json").is_file()


def test_leave_one_out_is_written_into_the_set_its_yaml_and_the_next_command(place: Workplace, tmp_path: Path) -> None:
    dump = write_movielens(tmp_path / "ml-100k", "100k")
    done = place.run("llmrec.prepare", "reader=movielens", f"path={dump}", "split=leave_one_out")
    assert done.status == 0, done.output
    # 12 users with ten events each: six windows, of which four are for training.
    assert "train: 48 rows of 12 users, valid: 12 rows of 12 users, test: 12 rows of 12 users" in done.output
    # The first test target is that of user 1, on day 10. User u has training targets on the days u + 4 to u + 7: of the
    # users 4, 5 and 6 one, two and three are later, and of the users 7 to 12 all four.
    assert "split leave_one_out, not by time: 30 training rows (62.5 %) are later than the earliest test" in done.output
    assert done.last_line().endswith("python -m llmrec.run dataset=movielens_100k dataset.split=leave_one_out")
    words = ["words.item=film", "words.verb=seen"]
    done = place.run("llmrec.prepare", f"path={dump}", "name=films", "split=leave_one_out", *words)
    assert done.last_line().endswith("python -m llmrec.run --config-dir mine/conf dataset=films")
    assert 'split: "leave_one_out"' in (tmp_path / "mine/conf/dataset/films.yaml").read_text().splitlines()


def test_other_layouts_take_the_name_of_their_folder(place: Workplace, tmp_path: Path) -> None:
    done = place.run("llmrec.prepare", f"path={write_generic(tmp_path / 'shop')}")
    assert done.status == 0, done.output
    assert "write a dataset/shop.yaml with the words of its prompts (docs/data.md" in done.last_line()
    done = place.run("llmrec.prepare", "reader=msl", f"path={write_msl(tmp_path / 'own')}", "name=books")
    assert done.status == 0, done.output
    assert done.last_line().endswith("python -m llmrec.run dataset=books")
    assert {folder.name for folder in place.data.iterdir()} == {"shop", "books"}


def test_a_folder_that_exists_is_left_alone(place: Workplace, tmp_path: Path) -> None:
    dump = write_movielens(tmp_path / "ml-100k", "100k")
    (place.data / "movielens_100k").mkdir(parents=True)
    done = place.run("llmrec.prepare", "reader=movielens", f"path={dump}")
    assert done.status == 2
    assert f"{place.data}/movielens_100k exists already: remove it, or give another out=" in done.output
    assert not list((place.data / "movielens_100k").iterdir())


def test_words_write_the_yaml_of_the_dataset(place: Workplace, tmp_path: Path) -> None:
    write_generic(tmp_path / "shop")
    words = ["words.item=product", "words.verb=bought"]
    done = place.run("llmrec.prepare", f"path={tmp_path}/shop", *words, "dataset.min_history=3")
    assert done.status == 0, done.output
    assert done.last_line().endswith("python -m llmrec.run --config-dir mine/conf dataset=shop")
    text = (tmp_path / "mine/conf/dataset/shop.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[5:] == [
        "name: shop",
        'wording: {item: "product", items: "products", verb: "bought"}',
        "min_history: 3",
    ]
    again = place.run("llmrec.prepare", f"path={tmp_path}/shop", "words.item=item", "words.verb=saw", "out=b/shop")
    assert again.status == 2
    assert "mine/conf/dataset/shop.yaml exists already: remove it, or leave out the words" in again.output
    assert not (tmp_path / "b").exists()


def test_settings_of_the_reader_are_arguments(place: Workplace, tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "downloads", 2023)
    for file in list(folder.iterdir()):
        file.with_name(file.name.replace("Games", "Video_Games")).write_bytes(file.read_bytes())
    done = place.run(
        "llmrec.prepare", "reader=amazon2023", "path=downloads/", "category=Video_Games", "out=data/games23"
    )
    assert done.status == 0, done.output
    assert "120 interactions of 12 users with 10 items in the 5-core\n" in done.output
    assert (
        "dropped: items listed again 1, items without a title 2, events of other items 1, repeated events 1\n"
        in done.output
    )
    manifest = json.loads((tmp_path / "data/games23/manifest.json").read_text())
    assert manifest["report"]["dropped"]["items without a title"] == 2
    again = place.run("llmrec.prepare", "reader=amazon2023", "path=downloads", "category=Video_Games", "out=b/games23")
    assert again.status == 0, again.output
    first, second = (sorted((tmp_path / name / "games23").iterdir()) for name in ("data", "b"))
    assert [file.name for file in first] == [file.name for file in second]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["path=dump", "category=Games"],
            "category: there is no such setting: reader=auto has no settings;",
        ),
        (["path=dump", "reader=amazon2023", "catgory=Games"], "catgory: did you mean category?"),
        (
            ["path=dump", "reader=amazon2023", "depth=3"],
            "depth: there is no such setting: reader=amazon2023 has cat",
        ),
        (
            ["path=dump", "reader=goodreads", "events=some"],
            "dataset.reader.events=some: choose one of read, rated",
        ),
        (["path=dump", "reader=amazon2023", "category=a b"], "Expected *.jsonl with meta_*.jsonl"),
        (["path=dump", "pth=x"], "pth: did you mean path?"),
        (["path=dump", "category"], "'category' is not of the form key=value"),
        (["path=dump", "trainer.max_epochs=3"], "trainer.max_epochs: there is no such setting"),
        (["path=dump", "reader=movielens", "words.item=film"], "words.verb is missing. Give all words, as in"),
        (["path=dump", "reader=movielens", "words.noun=film"], "words.noun: there is no such word. Give words.item"),
        (["path=dump", "columns.usr=who"], "dataset.reader.columns.usr: did you mean dataset.reader.columns.user?"),
        (["path=dump", "interactions=my orders.csv"], "Expected my orders.csv with items.csv|tsv|jsonl|parquet"),
        (["source=movielens", "path=dump"], "source= was renamed: write reader=movielens"),
        (
            ["reader=parquet", "path=dump"],
            "dataset/reader=parquet: there is no such option. Choose one of amazon2014, amazon2018, amazon2023, auto, "
            "generic, goodreads, lastfm, lcrec, minionerec, movielens, msl, recbole, sdpo, steam, yelp",
        ),
        (
            ["reader=mine.Reader", "path=dump"],
            "dataset.reader._target_=mine.Reader cannot be imported (No module named",
        ),
        (
            ["reader=auto", "path=dump", "dataset.reader.depth=2"],
            "dataset.reader.depth: there is no such setting, because dataset.reader has none",
        ),
        (["reader=auto", "path=dump", "--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["path=prepared"], "prepared is prepared already"),
        (["reader=movielens"], "path=<the folder of the downloaded files> is missing"),
        (["reader=movielens", "path=nowhere"], "path=nowhere: there is no folder"),
        (
            ["reader=movielens", "path=."],
            "is not in the layout of the reader movielens. Expected u.data with u.item, or ",
        ),
        (["reader=auto", "path=."], "is in no known layout. Expected one of"),
        (["reader=generic", "path=dump"], "dump is not in the layout of the reader generic. Expected interactions.csv"),
        (["reader=movielens", "path=dump", "name=a", "out=sets/b"], "out=sets/b does not end in the dataset's name a"),
        (["reader=movielens", "path=dump", "dataset.hold_out=0.2"], "only takes dataset.k_core, "),
        (["reader=movielens", "path=dump", "split=leave_two_out"], "dataset.split=leave_two_out: give three positive"),
        (
            ["reader=msl", "path=msl", "split=leave_one_out"],
            "dataset.split=leave_one_out: reader=msl keeps the published splits as they are. Remove the setting",
        ),
        (["reader=movielens", "path=dump", "dataset.k_core=["], "cannot be parsed"),
        (["reader=movielens", "path=dump", "dataset.k_core=0"], "dataset.k_core=0: give a whole number of at least 1"),
        (["reader=movielens", "path=dump", "dataset.k_core=100"], "dump: a split would have no rows: 120 interactions"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: list[str], message: str, place: Workplace, tmp_path: Path) -> None:
    write_movielens(tmp_path / "dump", "1m")
    write_msl(tmp_path / "msl")
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared/manifest.json").touch()
    done = place.run("llmrec.prepare", *arguments)
    assert done.status == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not place.data.exists()


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_gives_examples(arguments: tuple[str, ...], place: Workplace) -> None:
    done = place.run("llmrec.prepare", *arguments)
    assert done.status == 0
    assert done.output.count("python -m llmrec.prepare reader=") == 4
