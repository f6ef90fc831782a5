"""Layouts of interactions, with strategies of random items and events to write in each; see `test_round_trips`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from llmrec.datasets.readers.movielens_tables import GENRES
from tests.datasets.random_logs import (
    expected_goodreads,
    expected_goodreads_csv,
    expected_lastfm,
    expected_lcrec,
    write_goodreads,
    write_goodreads_csv,
    write_lastfm,
    write_lcrec,
)
from tests.datasets.random_ratings import (
    write_movielens_1m,
    write_movielens_10m,
    write_movielens_100k,
    write_movielens_latest,
    write_recbole,
)
from tests.datasets.random_reviews import (
    expected_2014,
    expected_steam,
    expected_yelp,
    write_amazon_2014,
    write_amazon_2018,
    write_amazon_2023,
    write_amazon_2023_csv,
    write_steam,
    write_yelp,
)
from tests.datasets.random_tables import WHITE_SPACE, Data, Expected, Read, data, dump, flawed, numbers, texts

LINE_BREAKS = "\n\r"
HALF_STARS = [number / 2 for number in range(1, 11)]
GENRE = st.sampled_from(GENRES)


@dataclass(frozen=True)
class Layout:
    """A layout of interactions.

    Attributes:
        reader: The reader's class below llmrec.datasets.readers.
        data: A strategy of `Data` that the layout can hold.
        write: Writes data to a folder.
        expected: What is to be read, and the counts of dropped rows; None for a reader that drops nothing.
        settings: Settings of the reader.
    """

    reader: str
    data: Any
    write: Callable[[Path, Data], None]
    expected: Callable[[Data], Expected]
    settings: Mapping[str, Any] = field(default_factory=dict)


def whole(data: Data) -> Expected:
    """Everything is read as it was written."""
    return Read(data.items, data.events), None


DUMP_TITLES = texts(surrogates=True)
JSON_DUMP = flawed(data(texts(), DUMP_TITLES, texts(), texts(surrogates=True)), DUMP_TITLES)
NO_CATEGORIES = flawed(data(texts(), DUMP_TITLES, texts(), ratings=(0.0, 1.0, 3.0)), DUMP_TITLES)
TAB_TEXTS = texts("\t" + LINE_BREAKS)
WORDS = texts(" \t" + LINE_BREAKS)
# At the start of a file, U+FEFF is a byte order mark.
FIRST_IN_FILE = texts("\ufeff\t" + LINE_BREAKS)
FILM_TITLES = texts(LINE_BREAKS + "|")
DAT_TITLES = texts(LINE_BREAKS, is_valid=lambda text: text.strip(WHITE_SPACE) and "::" not in text and text[-1] != ":")
GENRES_100K = data(numbers(), FILM_TITLES, numbers(), GENRE).map(
    lambda d: d._replace(items=[i._replace(categories=[g for g in GENRES if g in i.categories]) for i in d.items])
)
NOT_SPLIT = texts(",", is_valid=lambda text: text.strip(WHITE_SPACE) and not set(text) & set("\x1c\x1d\x1e\x1f"))
LAYOUTS = {
    "movielens_100k": Layout("movielens.MovieLens", GENRES_100K, write_movielens_100k, whole),
    "movielens_1m": Layout(
        "movielens.MovieLens", data(numbers(), DAT_TITLES, numbers(), GENRE), write_movielens_1m, whole
    ),
    "movielens_10m": Layout(
        "movielens.MovieLens", data(numbers(), DAT_TITLES, numbers(), GENRE, HALF_STARS), write_movielens_10m, whole
    ),
    "movielens_latest": Layout(
        "movielens.MovieLens", data(numbers(), texts(), numbers(), GENRE, HALF_STARS), write_movielens_latest, whole
    ),
    "recbole": Layout(
        "recbole.RecBole", flawed(data(TAB_TEXTS, TAB_TEXTS, TAB_TEXTS, WORDS), TAB_TEXTS), write_recbole, dump
    ),
    "amazon_2014": Layout("amazon.Amazon2014", JSON_DUMP, write_amazon_2014, expected_2014),
    "amazon_2018": Layout("amazon.Amazon2018", JSON_DUMP, write_amazon_2018, dump),
    "amazon_2023": Layout("amazon.Amazon2023", JSON_DUMP, write_amazon_2023, dump),
    "amazon_2023_csv": Layout("amazon.Amazon2023", JSON_DUMP, write_amazon_2023_csv, dump),
    "steam": Layout("steam.Steam", JSON_DUMP, write_steam, expected_steam),
    "yelp": Layout(
        "yelp.Yelp", flawed(data(texts(), DUMP_TITLES, texts(), texts(",")), DUMP_TITLES), write_yelp, expected_yelp
    ),
    **{
        f"goodreads_{events}": Layout(
            "goodreads.Goodreads", NO_CATEGORIES, write_goodreads, expected_goodreads(events), {"events": events}
        )
        for events in ("read", "rated", "all")
    },
    "goodreads_csv": Layout("goodreads.Goodreads", NO_CATEGORIES, write_goodreads_csv, expected_goodreads_csv),
    "lastfm": Layout(
        "lastfm.LastFM", flawed(data(TAB_TEXTS, TAB_TEXTS, FIRST_IN_FILE), TAB_TEXTS), write_lastfm, expected_lastfm
    ),
    "lcrec": Layout("lcrec.LCRec", data(texts(), DUMP_TITLES, texts(), NOT_SPLIT), write_lcrec, expected_lcrec),
}
