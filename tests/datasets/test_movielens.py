import os
from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.load import load_dataset
from llmrec.datasets.readers.movielens import VERSIONS, MovieLens
from llmrec.datasets.readers.movielens_tables import GENRES
from llmrec.errors import InputError
from tests.datasets.layouts import FILMS, group, write_lines, write_movielens

LAYOUTS = list(VERSIONS)
SEPARATORS = {"100k": "\t", "1m": "::", "latest": ","}
FIRST_ROW = {"100k": 1, "1m": 1, "latest": 2}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_films_and_ratings_that_were_written(layout: str, tmp_path: Path) -> None:
    items, events = MovieLens().read(write_movielens(tmp_path / "dump", layout))
    assert items.ids == [film[0] for film in FILMS]
    assert items.titles == [film[1] for film in FILMS]
    assert items.categories == [film[2] for film in FILMS]
    assert len(events) == 120
    assert events.user_ids.tolist() == [str(user) for user in range(1, 13)]
    # User 3's ratings, of the films from the fourth on.
    assert events.user[20:30].tolist() == [2] * 10
    assert events.item[20:30].tolist() == [3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert (events.timestamp[20:30] == 86_400 * np.arange(3, 13)).all()
    assert events.rating is not None
    assert events.rating[20:30].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    assert [array.dtype for array in (events.user, events.item, events.timestamp, events.rating)] == [
        np.int32, np.int32, np.int64, np.float32,
    ]  # fmt: skip


@pytest.mark.parametrize("layout", ["100k", "1m"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_copy_saved_as_utf8_has_the_same_titles(layout: str, encoding: str, tmp_path: Path) -> None:
    items, _ = MovieLens().read(write_movielens(tmp_path / "dump", layout, encoding))
    assert items.titles == [film[1] for film in FILMS]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_line_ends_of_windows_and_blank_lines_at_the_end_change_nothing(layout: str, tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "dump", layout)
    expected_items, expected = MovieLens().read(folder)
    ratings, films = (folder / file for file in VERSIONS[layout])
    ratings.write_bytes(ratings.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    if layout != "latest":
        films.write_bytes(films.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    items, events = MovieLens().read(folder)
    assert (items.titles, items.categories) == (expected_items.titles, expected_items.categories)
    assert np.array_equal(events.item, expected.item)


def test_10m_has_the_files_of_1m_and_half_stars(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "dump", "10m")
    _, events = MovieLens().read(folder)
    assert events.rating is not None
    assert events.rating[:5].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert MovieLens().dataset_name(folder) == "movielens_10m"
    (folder / "tags.dat").unlink()
    with pytest.raises(InputError, match=r"rating is '0\.5', not a whole number from 1 to 5"):
        MovieLens().read(folder)


@pytest.mark.parametrize(("folder", "name"), [("ml-25m", "movielens_25m"), ("ml-latest-small", "movielens_latest")])
def test_larger_dumps_are_named_by_their_folder(folder: str, name: str, tmp_path: Path) -> None:
    assert MovieLens().dataset_name(write_movielens(tmp_path / folder, "latest")) == name


def test_half_stars_are_kept(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "dump", "latest")
    append(folder / "ratings.csv", "1,7,0.5,5")
    rating = MovieLens().read(folder)[1].rating
    assert rating is not None
    assert rating[-1] == 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loader_takes_a_dump_as_it_is(layout: str, tmp_path: Path) -> None:
    write_movielens(tmp_path / "movielens_100k", layout)
    dataset = load_dataset(group("movielens_100k", source="real"), tmp_path, tmp_path / "cache")
    # 12 users, ten ratings each, four events before a target: 72 windows, split 8:1:1.
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [57, 7, 8]
    assert dataset.items.titles == [film[1] for film in FILMS]


# Invalid rows, and the error message after file and row.
BAD_RATINGS = [
    (("one", "7", "3", "5"), r"userId is 'one', not a whole number\. Correct or remove"),
    (("", "7", "3", "5"), r"userId is '', not a whole number"),
    (("1", "7.5", "3", "5"), r"movieId is '7\.5', not a whole number"),
    (("1", "7", "3", "noon"), r"timestamp is 'noon', not a whole number"),
    (("1", "7", "good", "5"), r"rating is 'good', not a number"),
    (("1", "7", "5.5", "5"), r"rating is '5\.5', not a "),
    (("1", "7", "0", "5"), r"rating is '0', not a "),
    (("1", "7", "3.25", "5"), r"rating is '3\.25', not a "),
    (("1", "99", "3", "5"), r"film 99 is not in .*dump/\S+\. Add it there with its title, or remove the row"),
    (("1", "7", "3"), r"3 fields instead of 4\. Correct or remove that row"),
    (("1", "7", "3", "5", "6"), r"5 fields instead of 4"),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("fields", "message"), BAD_RATINGS)
def test_a_bad_rating_is_named(layout: str, fields: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", layout) / VERSIONS[layout][0]
    append(path, SEPARATORS[layout].join(fields), SEPARATORS[layout].join(("1", "7", "3", "5")))
    with pytest.raises(InputError, match=rf"dump/{path.name}, row {120 + FIRST_ROW[layout]}: {message}"):
        MovieLens().read(path.parent)


@pytest.mark.parametrize("layout", ["100k", "1m"])
def test_a_half_star_where_there_were_none_is_named(layout: str, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", layout) / VERSIONS[layout][0]
    append(path, SEPARATORS[layout].join(("1", "7", "3.5", "5")))
    with pytest.raises(InputError, match=r"row 121: rating is '3\.5', not a whole number from 1 to 5"):
        MovieLens().read(path.parent)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_blank_line_in_the_middle_is_named(layout: str, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", layout) / VERSIONS[layout][0]
    append(path, "", SEPARATORS[layout].join(("1", "7", "3", "5")))
    with pytest.raises(InputError, match=rf"row {120 + FIRST_ROW[layout]}: userId is '', not a"):
        MovieLens().read(path.parent)


FLAGS = "|".join("0" * len(GENRES))
BAD_FILMS = [
    ("100k", f"7|Again (1999)||||{FLAGS}", r"film 7 is listed twice\. Keep one of its rows"),
    ("100k", f"x|New (1999)||||{FLAGS}", r"movieId is 'x', not a whole number"),
    ("100k", f"99|  ||||{FLAGS}", r"title is '  ', not a title \(it is blank\)\. Correct or remove"),
    ("100k", "99|New (1999)||||0|1", r"7 fields instead of 24\. Correct or remove"),
    ("100k", f"99|New (1999)||||2{FLAGS[1:]}", r"unknown is '2', not 0 or 1"),
    ("1m", "7::Again (1999)::Drama", r"film 7 is listed twice"),
    ("1m", "x::New (1999)::Drama", r"movieId is 'x', not a whole number"),
    ("1m", "99::::Drama", r"title is '', not a title \(it is blank\)"),
    ("1m", "99::New (1999)", r"2 fields instead of 3"),
    ("latest", "7,Again (1999),Drama", r"film 7 is listed twice"),
    ("latest", "x,New (1999),Drama", r"movieId is 'x', not a whole number"),
    ("latest", "99,,Drama", r"title is '', not a title \(it is blank\)"),
    ("latest", "99,New, The (1999),Drama", r"4 fields instead of 3\. Correct or remove that row"),
]


@pytest.mark.parametrize(("layout", "line", "message"), BAD_FILMS)
def test_a_bad_film_is_named(layout: str, line: str, message: str, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", layout) / VERSIONS[layout][1]
    append(path, line)
    with pytest.raises(
        InputError, match=rf"dump/{path.name.replace('.', '[.]')}, row {10 + FIRST_ROW[layout]}: {message}"
    ):
        MovieLens().read(path.parent)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_file_is_named(layout: str, number: int, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", layout) / VERSIONS[layout][number]
    path.write_text("")
    with pytest.raises(InputError, match=rf"dump/{path.name}: empty\. "):
        MovieLens().read(path.parent)


@pytest.mark.parametrize("file", ["ratings.csv", "movies.csv"])
def test_a_header_alone_is_named(file: str, tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", "latest") / file
    write_lines(path, path.read_text(encoding="utf-8").splitlines()[:1])
    with pytest.raises(InputError, match=rf"dump/{file}: no rows after the header"):
        MovieLens().read(path.parent)


def test_a_header_without_a_column_is_named(tmp_path: Path) -> None:
    path = write_movielens(tmp_path / "dump", "latest") / "ratings.csv"
    path.write_text(path.read_text().replace("userId", "user"))
    with pytest.raises(InputError, match=r"ratings\.csv, row 1: no column 'userId' among user, movieId, .* Name the"):
        MovieLens().read(path.parent)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"not in the layout of the reader movielens\. Expected u\.data with u\.item, or rat"
    ):
        MovieLens().select(tmp_path)


@pytest.mark.real_data("movielens_100k")
def test_movielens_100k() -> None:
    items, events = MovieLens().read(Path(os.environ["LLMREC_DATA"]) / "movielens_100k")
    assert (len(events), len(events.user_ids), len(items)) == (100_000, 943, 1_682)
    assert len(np.unique(events.item)) == 1_682
    assert events.rating is not None
    assert np.bincount(events.rating.astype(int)).tolist() == [0, 6_110, 11_370, 27_145, 34_174, 21_201]
    assert items.titles[items.ids.index("543")] == "Misérables, Les (1995)"
    assert items.categories is not None
    assert items.categories[0] == ["Animation", "Children's", "Comedy"]


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
