"""Small datasets on disk and in memory for the tests of this folder."""

import copy
import csv
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from llmrec.datasets.dataset import Rows
from llmrec.datasets.load import prepare
from llmrec.datasets.prepared import Prepared
from llmrec.datasets.readers.movielens_tables import GENRES
from llmrec.datasets.source import locate

CONF = Path(__file__).parents[2] / "conf"
TITLES = {"1": "Iron Harbor", "2": "Iron Harbor 2", "3": "Rock &amp; Roll", "4": "Iron Harbor", "5": '12" Steel'}
TRAIN = ['7,"[1, 2]",10', '8,"[2, 3, 1]",20', '9,"[3, 4]",30']
VALID = ['7,"[1, 2, 3]",30', '8,"[2, 3, 1, 2]",40']
TEST = ['9,"[3, 4, 5]",40', '9,"[3, 4, 5, 4]",50']
FILMS = [
    ("7", "Misérables, Les (1995)", ["Drama", "Musical"]),
    ("3", 'Rock "n" Roll Hotel: Part 2 (1987)', ["Comedy"]),
    ("12", "Nameless (1962)", []),
    *((str(number), f"Film {number} (1994)", ["Action", "Thriller"]) for number in range(20, 27)),
]
"""Ten films of MovieLens as (id, title, genres)."""


def group(shipped: str = "games", **changes: Any) -> dict[str, Any]:
    """Returns the resolved Hydra group of a shipped dataset YAML, with changes to its top-level keys."""
    return {**copy.deepcopy(_composed(shipped)), **changes}


@functools.cache
def _composed(shipped: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed: Any = OmegaConf.to_container(compose(f"dataset/{shipped}"), resolve=True)
    return dict(composed["dataset"])


def prepared(root: Path, **settings: Any) -> Prepared:
    """Prepares the folder `own`, by default without a filter by k-core or length of history."""
    dataset = group(name="own", source="real", **{"k_core": 1, "min_history": 1, **settings})
    return prepare(locate(dataset, root, root / "cache"), dataset)


def write_msl(
    folder: Path,
    titles: dict[str, str] | None = None,
    **splits: Sequence[str] | None,
) -> Path:
    """Writes a folder in the MSL layout from the lines of each split without the header; None omits the file."""
    folder.mkdir(parents=True)
    (folder / "id2name4Rec.json").write_text(json.dumps(titles or TITLES), encoding="utf-8")
    for split, lines in ({"train": TRAIN, "valid": VALID, "test": TEST} | splits).items():
        if lines is not None:
            write_lines(folder / f"{split}.csv", ["user_id,item_ids,timestamp", *lines])
    return folder


def write_lines(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def write_generic(folder: Path, users: int = 12, events: int = 10, rating: bool = True) -> Path:
    """Writes the generic layout: user u has items u, u + 1, ... of ten, one per day; all are in the 5-core."""
    folder.mkdir(parents=True)
    write_lines(folder / "items.csv", ["item,title,categories", *(f"i{n},Title {n},even|all" for n in range(10))])
    lines = ["user,item,timestamp" + ",rating" * rating]
    for user in range(users):
        for step in range(events):
            stars = f",{1 + step % 5}" * rating
            lines.append(f"u{user},i{(user + step) % 10},{86_400 * (user + step)}{stars}")
    write_lines(folder / "interactions.csv", lines)
    return folder


def write_movielens(folder: Path, layout: str, encoding: str = "latin-1") -> Path:
    """Writes a MovieLens dump: user u rates ten films, starting with film u, one per day; all are in the 5-core.

    encoding: of the files that GroupLens published in latin-1.
    """
    folder.mkdir(parents=True)
    ratings = [
        (str(user), FILMS[(user + step) % 10][0], str(1 + step % 5), str(86_400 * (user + step)))
        for user in range(1, 13)
        for step in range(10)
    ]
    if layout == "100k":
        flags = [[str(int(genre in film[2])) for genre in GENRES] for film in FILMS]
        films = [
            "|".join([*film[:2], "01-Jan-1995", "", "http://x", *row]) for film, row in zip(FILMS, flags, strict=True)
        ]
        write_lines(folder / "u.item", films, encoding)
        write_lines(folder / "u.data", ["\t".join(rating) for rating in ratings])
    elif layout in ("1m", "10m"):
        write_lines(folder / "movies.dat", ["::".join([*film[:2], "|".join(film[2])]) for film in FILMS], encoding)
        if layout == "10m":
            ratings = [(user, film, f"{int(stars) - 0.5:g}", time) for user, film, stars, time in ratings]
            write_lines(folder / "tags.dat", ["1::7::bleak::86400"])
        write_lines(folder / "ratings.dat", ["::".join(rating) for rating in ratings])
    else:
        with open(folder / "movies.csv", "w", encoding="utf-8", newline="") as file:
            cells = [[*film[:2], "|".join(film[2]) or "(no genres listed)"] for film in FILMS]
            csv.writer(file).writerows([["movieId", "title", "genres"], *cells])
        write_lines(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *map(",".join, ratings)])
    return folder


def rows(*given: tuple[str, Sequence[int], int, int]) -> Rows:
    """Rows from (user, history, target, timestamp)."""
    users, histories, targets, timestamps = zip(*given, strict=True)
    return Rows(
        user=np.array(users),
        history=np.concatenate([np.array(history, dtype=np.int32) for history in histories]),
        offsets=np.r_[0, np.cumsum([len(history) for history in histories])],
        target=np.array(targets, dtype=np.int32),
        timestamp=np.array(timestamps, dtype=np.int64),
    )
