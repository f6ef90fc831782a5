"""Reads the files of MovieLens dumps: 100k, 1m, and the CSV of latest, 20m, 25m and 32m."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.plain_files import read_plain, read_plain_csv
from llmrec.datasets.table_files import read_table
from llmrec.datasets.tables import Table

# In the order of the flags in u.item. They are not read from u.genre, because copies of the dump often lack it.
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
NO_GENRES = "(no genres listed)"
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
FILM_COLUMNS = ("movieId", "title", "genres")
HALF_STARS = ("10m", "latest")
"""Versions whose ratings are multiples of a half."""


def read_movielens(ratings: Path, films: Path, version: str) -> tuple[Items, Interactions]:
    """Reads ratings and films in file order.

    Args:
        ratings: The file of ratings.
        films: The file of films.
        version: "100k", "1m", "10m" or "latest".

    Raises:
        InputError: For a malformed value, a film that is listed twice, or a rated film that is not listed. The message
            names the file and the row.
    """
    film_table, genres = _films(films, version)
    film_ids = film_table.integers("movieId")
    items = _items(film_table, film_ids, genres)
    return items, _interactions(_ratings(ratings, version), film_table, film_ids, half_stars=version in HALF_STARS)


def _films(path: Path, version: str) -> tuple[Table, list[list[str]]]:
    if version == "100k":
        return _films_100k(path)
    has_header = version == "latest"
    films = read_table(path, FILM_COLUMNS) if has_header else read_plain(path, _text(path), "::", FILM_COLUMNS)
    cells = films.columns["genres"].to_pylist()
    return films, [[genre for genre in (cell or "").split("|") if genre and genre != NO_GENRES] for cell in cells]


def _ratings(path: Path, version: str) -> Table:
    if version == "latest":
        return read_plain_csv(path, RATING_COLUMNS)
    return read_plain(path, _text(path), "\t" if version == "100k" else "::", RATING_COLUMNS)


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # UTF-8 is tried first, because Latin-1 decodes any bytes: a copy saved as UTF-8 would become mojibake, whereas
        # accented Latin-1 text is hardly ever valid UTF-8.
        return content.decode("latin-1")


def _films_100k(path: Path) -> tuple[Table, list[list[str]]]:
    films = read_plain(path, _text(path), "|", ("movieId", "title", "date", "video date", "url", *GENRES))
    flags = [np.asarray(films.columns[genre]) for genre in GENRES]
    for genre, flag in zip(GENRES, flags, strict=True):
        films.require((flag == "0") | (flag == "1"), genre, "0 or 1")
    has_genre = np.stack(flags, axis=1) == "1"
    return films, [[GENRES[index] for index in np.flatnonzero(row)] for row in has_genre]


def _items(films: Table, film_ids: np.ndarray, genres: list[list[str]]) -> Items:
    titles = films.columns["title"]
    films.require(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(titles)), 0), "title", "a title (it is blank)")
    _, first = np.unique(film_ids, return_index=True)
    films.refuse(
        np.setdiff1d(np.arange(len(film_ids)), first),
        lambda index: f"film {film_ids[index]} is listed twice",
        "Keep one of its rows",
        "Keep one row of each",
    )
    return Items(film_ids.astype(str).tolist(), titles.to_pylist(), genres)


def _interactions(ratings: Table, films: Table, film_ids: np.ndarray, half_stars: bool) -> Interactions:
    user = pa.array(ratings.integers("userId")).dictionary_encode()
    rated = ratings.integers("movieId")
    item = pc.index_in(pa.array(rated), value_set=pa.array(film_ids))
    ratings.refuse(
        np.flatnonzero(np.asarray(pc.is_null(item))),
        lambda index: f"film {rated[index]} is not in {films.path}",
        "Add it there with its title, or remove the row",
        "Add the films there with their titles, or remove the rows",
    )
    return Interactions(
        user_ids=user.dictionary.to_numpy().astype(str),
        user=user.indices.to_numpy(),
        item=item.to_numpy(),
        timestamp=ratings.integers("timestamp"),
        rating=_stars(ratings, half_stars),
    )


def _stars(ratings: Table, half_stars: bool) -> np.ndarray:
    rating, step = ratings.numbers("rating"), 0.5 if half_stars else 1
    is_valid = (rating >= step) & (rating <= 5) & (rating % step == 0)
    expected = "a multiple of 0.5 from 0.5 to 5" if half_stars else "a whole number from 1 to 5"
    ratings.require(is_valid, "rating", expected)
    return rating
