"""Readers of public dumps: what they take, what they drop, and how they find their files."""

import gzip
from pathlib import Path

import pytest

from llmrec.errors import InputError
from tests.datasets.dumps import ITEMS, USERS, events, write_amazon, write_recbole
from tests.datasets.layouts import prepared

READERS = "llmrec.datasets.readers"


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("year", [2014, 2018, 2023])
def test_amazon_reviews_are_events_and_metadata_are_items(year: int, compressed: bool, tmp_path: Path) -> None:
    write_amazon(tmp_path / "own", year, compressed)
    found = prepared(tmp_path)
    assert found.layout == f"amazon{year}"
    assert sorted(found.items.titles) == [f"Game &amp; {number}" for number in range(ITEMS)]
    assert found.items.categories == [["Games", "Wii"]] * ITEMS
    assert found.interactions is not None
    assert len(found.interactions) == len(events()) == 10 * USERS
    first = found.interactions.take(found.interactions.by_user_and_time()[:1])
    assert (first.timestamp.tolist(), first.rating.tolist()) == ([86_400 * 10_000], [1.0])  # type: ignore[union-attr]
    assert found.report["dropped"] == {
        "items without an id": 0,
        "items listed again": 1,
        "items without a title": 2,
        "events without a user, an item or a time": 0,
        "events of other items": 1,
        "repeated events": 1,
    }


def test_ratings_of_2023_are_read_from_their_csv(tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "own", 2023)
    (folder / "Games.jsonl.gz").unlink()
    lines = ["user_id,parent_asin,rating,timestamp"]
    lines += [f"{user},{item},{rating},{1000 * time}" for user, item, rating, time in events()]
    (folder / "Games.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    found = prepared(tmp_path)
    assert found.interactions is not None
    assert len(found.interactions) == len(events())


def test_one_of_several_categories_is_chosen_by_its_name(tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "own", 2018)
    for file in list(folder.iterdir()):
        file.with_name(file.name.replace("Games", "Music")).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"found Games\.json\.gz, Music\.json\.gz, .*dataset\.reader\.category=NAME"):
        prepared(tmp_path)
    chosen = {"_target_": f"{READERS}.amazon.Amazon2018", "category": "Music"}
    assert len(prepared(tmp_path, reader=chosen).items) == ITEMS


def test_metadata_of_2014_are_never_evaluated(tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "own", 2014, compressed=False)
    with open(folder / "meta_Games.json", "a") as file:
        file.write(f"open({str(tmp_path / 'written')!r}, 'w')\n")
    with pytest.raises(InputError, match=r"meta_Games\.json, row 14: not a Python literal"):
        prepared(tmp_path)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("year", [2014, 2018, 2023])
def test_a_truncated_download_is_named(year: int, tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "own", year)
    (reviews,) = (file for file in folder.iterdir() if not file.name.startswith("meta"))
    reviews.write_bytes(reviews.read_bytes()[:-200])
    with pytest.raises(InputError, match=rf"{reviews.name}: cannot be read .*Download the file again"):
        prepared(tmp_path)


def test_recbole_files_are_read_by_their_headers(tmp_path: Path) -> None:
    write_recbole(tmp_path / "own")
    found = prepared(tmp_path)
    assert found.layout == "recbole"
    assert found.items.titles == [f"Film {number}" for number in range(ITEMS) if number != 1]
    assert found.items.categories == [["Drama", "Noir"]] * (ITEMS - 1)
    without = sum(item == "B1" for _, item, _, _ in events())
    assert found.report["dropped"]["events of other items"] == without + 1
    assert found.report["dropped"]["items without a title"] == 1


def test_another_column_of_titles_is_named(tmp_path: Path) -> None:
    write_recbole(tmp_path / "own")
    reader = {"_target_": f"{READERS}.recbole.RecBole", "title": "class", "categories": None}
    assert set(prepared(tmp_path, reader=reader).items.titles) == {"Drama Noir"}
    with pytest.raises(InputError, match=r"ml\.item: no column heading among item_id, movie_title, class"):
        prepared(tmp_path, reader=reader | {"title": "heading"})
