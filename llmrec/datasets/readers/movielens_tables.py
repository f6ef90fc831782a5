"""Reads the files of MovieLens dumps: 100k, 1m, 10m, and the CSV of latest, 20m, 25m and 32m."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.readers.separated import Separated
from llmrec.datasets.table_files import named, scan_separated, scan_table
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
    film_table = _films(films, version)
    items, film_ids = _items(film_table, version)
    return items, _interactions(_ratings(ratings, version), film_table, film_ids, half_stars=version in HALF_STARS)


def _films(path: Path, version: str) -> Table:
    if version == "latest":
        return scan_table(path, FILM_COLUMNS)
    if version == "1m" or version == "10m":
        return _without_header(path, "::", FILM_COLUMNS)
    names = ["movieId", "title", "release_date", "video_release_date", "url", *GENRES]
    return _without_header(path, "|", names)


def _ratings(path: Path, version: str) -> Table:
    if version != "latest":
        return _without_header(path, "\t" if version == "100k" else "::", RATING_COLUMNS)
    table = scan_separated(path, (",",), quoted=False)
    table.require_columns(RATING_COLUMNS)
    return table


def _without_header(path: Path, separator: str, names: Sequence[str]) -> Table:
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        # UTF-8 is tried first, because Latin-1 decodes any bytes: a copy saved as UTF-8 would become mojibake, whereas
        # accented Latin-1 text is hardly ever valid UTF-8.
        content = content.decode("latin-1").encode()
    return named(Separated(path, names, separator, quoted=False, has_header=False, content=content))


def _items(films: Table, version: str) -> tuple[Items, pl.Series]:
    names = GENRES if version == "100k" else ("genres",)
    read = films.read(film=films.integers("movieId"), title=pl.col("title"), **{name: pl.col(name) for name in names})
    for genre in names if version == "100k" else ():
        films.require(read[genre].is_in(["0", "1"]), genre, "0 or 1")
    films.require_integers(read["film"], "movieId")
    films.require(read["title"].str.strip_chars() != "", "title", "a title (it is blank)")
    films.refuse(
        read["film"].is_first_distinct(),
        lambda index: f"film {read['film'][index]} is listed twice",
        "Keep one of its rows",
        "Keep one row of each",
    )
    if version == "100k":
        genres = [[genre for genre, flag in zip(names, row, strict=True) if flag == "1"] for row in read[names].rows()]
    else:
        genres = [[genre for genre in cell.split("|") if genre not in ("", NO_GENRES)] for cell in read["genres"]]
    return Items(read["film"].cast(pl.String).to_list(), read["title"].to_list(), genres), read["film"]


def _interactions(ratings: Table, films: Table, film_ids: pl.Series, half_stars: bool) -> Interactions:
    columns = {name: ratings.integers(name) for name in ("userId", "movieId", "timestamp")}
    read = ratings.read(**columns, rating=ratings.numbers("rating"))
    for name in ("userId", "movieId"):
        ratings.require_integers(read[name], name)
    film = read["movieId"].replace_strict(film_ids, np.arange(len(film_ids)), default=-1, return_dtype=pl.Int32)
    ratings.refuse(
        film >= 0,
        lambda index: f"film {read['movieId'][index]} is not in {films.path}",
        "Add it there with its title, or remove the row",
        "Add the films there with their titles, or remove the rows",
    )
    ratings.require_integers(read["timestamp"], "timestamp")
    _require_stars(ratings, read["rating"], half_stars)
    users = read["userId"].unique(maintain_order=True)
    return Interactions(
        user_ids=users.cast(pl.String).to_numpy(),
        user=read["userId"].replace_strict(users, np.arange(len(users)), return_dtype=pl.Int32).to_numpy(),
        item=film.to_numpy(),
        timestamp=read["timestamp"].to_numpy(),
        rating=read["rating"].to_numpy(),
    )


def _require_stars(ratings: Table, rating: pl.Series, half_stars: bool) -> None:
    ratings.require_numbers(rating, "rating")
    step = 0.5 if half_stars else 1
    is_valid = (rating >= step) & (rating <= 5) & (rating % step == 0)
    expected = "a multiple of 0.5 from 0.5 to 5" if half_stars else "a whole number from 1 to 5"
    ratings.require(is_valid, "rating", expected)
