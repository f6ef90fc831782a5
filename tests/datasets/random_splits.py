"""Writes random rows in the layouts of published splits; see `test_round_trips`."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.datasets.random_tables import Data, joined, numbers, texts
from tests.datasets.written_text import put, separated

SPLITS = ("train", "valid", "test")


class Row(NamedTuple):
    """A row: positions of the history's items and of the target, oldest first, and the time of the target."""

    user: str
    history: list[int]
    target: int
    time: int


class Published(NamedTuple):
    """A published set: items as (id, title), the rows of each split, and the choices of form."""

    items: list[tuple[str, str]]
    splits: dict[str, list[Row]]
    style: random.Random


@st.composite
def published(draw: Any, ids: Any, titles: Any, users: Any = None) -> Published:
    """Items, and splits whose periods follow each other."""
    names = draw(st.lists(ids, min_size=1, max_size=5, unique=True))
    items = [(name, draw(titles)) for name in names]
    position = st.integers(0, len(names) - 1)
    splits = {}
    for number, split in enumerate(SPLITS):
        times = st.integers(10 * number, 10 * number + 9)
        row = st.builds(Row, users or texts(), st.lists(position, min_size=1, max_size=4), position, times)
        splits[split] = draw(st.lists(row, min_size=1, max_size=5))
    return Published(items, splits, random.Random(draw(st.integers(0, 10**6))))


def form(found: Published) -> Data:
    """What the writers of text need to know."""
    return Data([], [], found.style)


def write_msl(folder: Path, found: Published) -> None:
    """Writes the titles and the splits; of train, every second row is the published sample."""
    put(folder / "id2name4Rec.json", json.dumps(dict(found.items), ensure_ascii=True), form(found))
    ids = [item for item, _ in found.items]
    for split, rows in found.splits.items():
        lines = [
            (row.user, f"[{', '.join(ids[item] for item in (*row.history, row.target))}]", row.time, "more")
            for row in rows
        ]
        names = ("user_id", "item_ids", "timestamp", "mask")
        put(folder / f"{split}.csv", separated([names, *lines], form(found)), form(found))
        if split == "train":
            sample = lines[::2]
            put(folder / f"train_{len(sample)}.csv", separated([names, *sample], form(found)), form(found))


def write_minionerec(folder: Path, found: Published) -> None:
    """Writes the splits of one set, whose rows have no times."""
    ids = [item for item, _ in found.items]
    for split, rows in found.splits.items():
        (folder / split).mkdir()
        names = ("user_id", "history_item_title", "history_item_id", "item_id")
        lines = [
            (
                row.user,
                [found.items[item][1] for item in row.history],
                [int(ids[item]) for item in row.history],
                ids[row.target],
            )
            for row in rows
        ]
        text = separated([names, *[(user, ascii(titles), *more) for user, titles, *more in lines]], form(found))
        put(folder / split / "Games_5_2016-10-2018-11.csv", text, form(found))
    (folder / "index").mkdir()
    entries = {item: {"title": title, "description": ""} for item, title in found.items}
    put(folder / "index/Games.item.json", json.dumps(entries), form(found))


def write_sdpo(folder: Path, found: Published) -> None:
    """Writes samples of titles; histories are texts where no title holds the separator."""
    titles = [title for _, title in found.items]
    can_join = not any("::" in title or title.startswith(":") or title.endswith(":") for title in titles)
    for split, name in zip(SPLITS, ("train", "val", "test"), strict=True):
        samples = []
        for row in found.splits[split]:
            history = [titles[item] for item in row.history]
            is_text = can_join and found.style.random() < 0.5
            given = {"historyList": "::".join(history) if is_text else history, "trueSelection": titles[row.target]}
            samples.append(given | {"itemList": [titles[-1]]})
        put(folder / f"x-{name}.json", json.dumps(samples, indent=found.style.choice([None, 4])), form(found))


Values = tuple[list[tuple[str, str]], dict[str, list[tuple[str, list[str], str, int]]]]


def values(found: Published, title: Callable[[str], str]) -> Values:
    """Items with their titles, and rows by the ids of items."""
    ids = [item for item, _ in found.items]
    rows = {
        split: [(row.user, [ids[item] for item in row.history], ids[row.target], row.time) for row in rows]
        for split, rows in found.splits.items()
    }
    return [(item, title(text)) for item, text in found.items], rows


def expected_msl(found: Published) -> Values:
    """Titles are verbatim but for halves of emoji."""
    return values(found, joined)


def numbered(found: Published, users: bool = False) -> Published:
    """Rows whose numbers stand in for times and, in samples without users, for users."""
    number, splits = 0, {}
    for split, rows in found.splits.items():
        splits[split] = [
            row._replace(time=number + index, user=f"{split}-{index + 1}" if users else row.user)
            for index, row in enumerate(rows)
        ]
        number += len(rows)
    return found._replace(splits=splits)


def expected_minionerec(found: Published) -> Values:
    """Titles are stripped."""
    return values(numbered(found), lambda title: joined(title).strip())


def expected_sdpo(found: Published) -> Values:
    """A title is its own id; items are in order of appearance, each sample's candidates last."""
    titles = [joined(title).strip() for _, title in found.items]
    order: dict[str, None] = {}
    for rows in found.splits.values():
        for row in rows:
            order |= dict.fromkeys(titles[item] for item in (*row.history, row.target, len(titles) - 1))
    _, by_id = values(numbered(found, users=True)._replace(items=[(title, title) for title in titles]), str)
    return [(title, title) for title in order], by_id


MAYBE_BLANK = st.one_of(texts(surrogates=True), st.just(""))
NOT_BLANK = texts(surrogates=True, is_valid=lambda text: joined(text).strip())
PUBLISHED: dict[str, tuple[Any, Callable[[Path, Published], None], Callable[[Published], Values]]] = {
    "msl.MSL": (published(numbers(), MAYBE_BLANK), write_msl, expected_msl),
    "minionerec.MiniOneRec": (published(numbers(), MAYBE_BLANK), write_minionerec, expected_minionerec),
    "sdpo.SDPO": (published(numbers(), NOT_BLANK), write_sdpo, expected_sdpo),
}
