"""Random items and events for tests with hypothesis, and a plain-Python model of what readers of dumps make of them."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

NASTY = (
    'He said "hi", twice', '"', '""', "'single'", "'''", "\\", "\\u0041", "semi;colon", "tab\there", "pipe|bar",
    "two\nlines", "two\r\nlines", "a::b", "x\u2028y", "x\u2029y", "x\u0085y", "x\0y", "\0", "\x1f", "\x1c", "\ufeffbom",
    "\u05e9\u05dc\u05d5\u05dd", "\u202eright to left", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "e\u0301",
    "\U0001d4af", "\ufffd", "\u00c3\u00a9", "\u0130stanbul", "<|im_start|>", "</s>", "[PAD]", "{{x}}", "%s", "NaN",
    "null", "None", "true", "1e5", "7.0", "-", "#", " padded ", "<b>Bold</b> &amp; more", "var x = 1;", "x" * 3000,
)  # fmt: skip
"""Texts that a separator, an encoding, a parser or a tokenizer may take for something else."""
SURROGATES = ("cut \ud83d", "\ude00", "\ud83d\ude00 pair", "\ud83d\ud83d\ude00")
WHITE_SPACE = "".join(c for c in map(chr, range(0x110000)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")
"""The characters with the property White_Space of Unicode."""
BASE_TIME, DAY = 1_000_000_000, 86_400
MISSING = (None, "")


class Item(NamedTuple):
    """An item as it is written."""

    id: str | None
    title: str | None
    categories: list[str] | None = None


class Event(NamedTuple):
    """An event as it is written, with a time in unix seconds."""

    user: str | None
    item: str | None
    time: int | None
    rating: float | None = 1.0


class Data(NamedTuple):
    """Items and events in the order in which they are written, and the choices of form."""

    items: list[Item]
    events: list[Event]
    style: random.Random


class Read(NamedTuple):
    """What was read, as plain values in order."""

    items: list[Item]
    events: list[Event]


Expected = tuple[Read, dict[str, int] | None]
"""What is to be read, and the counts of dropped rows; None for a reader that drops nothing."""


def texts(exclude: str = "", surrogates: bool = False, is_valid: Callable[[str], bool] = str.strip) -> Any:
    """Texts of all kinds without the characters in `exclude`, for which `is_valid` holds."""
    nasty = [text for text in NASTY if not set(text) & set(exclude)]
    characters = st.characters(exclude_categories=["Cs"], exclude_characters=exclude)
    options = [st.text(characters, min_size=1, max_size=12), st.sampled_from(nasty)]
    if surrogates:
        options.append(st.sampled_from(SURROGATES))
    return st.one_of(options).filter(is_valid)


def numbers() -> Any:
    """Whole numbers as text."""
    return st.integers(0, 10**9).map(str)


@st.composite
def data(
    draw: Any, ids: Any, titles: Any, users: Any, categories: Any = None, ratings: Sequence[float] = (1.0, 2.0, 5.0)
) -> Data:
    """Items with different ids and events of these items, many of which share a time."""
    names = draw(st.lists(ids, min_size=1, max_size=5, unique=True))
    lists = st.lists(categories, max_size=3) if categories is not None else st.none()
    items = [Item(name, draw(titles), draw(lists)) for name in names]
    people = draw(st.lists(users, min_size=1, max_size=3, unique=True))
    times = st.integers(0, 3).map(lambda day: BASE_TIME + day * DAY)
    event = st.builds(
        Event, st.sampled_from(people), st.sampled_from(names), times, st.sampled_from(ratings)
    )  # fmt: skip
    return Data(items, draw(st.lists(event, min_size=1, max_size=12)), random.Random(draw(st.integers(0, 10**6))))


@st.composite
def flawed(draw: Any, whole: Any, titles: Any, missing: Sequence[str | None] = MISSING) -> Data:
    """The same with the flaws of dumps at random places: repeated, nameless and unknown items, repeated events."""
    items, events, style = draw(whole)
    blank = st.sampled_from(missing)
    for kind in draw(st.lists(st.integers(0, 2), max_size=4)):
        old = draw(st.sampled_from(items))
        # Nobody's categories are missing in a dump that has them.
        new = [
            old._replace(title=draw(titles)),
            old._replace(id="new " + str(len(items)), title=draw(st.sampled_from([*missing, "<br>", "var x = 1;"]))),
            old._replace(id=draw(blank)),
        ][kind]
        items.insert(draw(st.integers(0, len(items))), new)
    for kind in draw(st.lists(st.integers(0, 4), max_size=6)):
        old_event = draw(st.sampled_from(events))
        flaws: list[dict[str, Any]] = [
            {"rating": 2.0}, {"user": draw(blank)}, {"item": draw(blank)}, {"time": None}, {"item": "unknown"},
        ]  # fmt: skip
        events.insert(draw(st.integers(0, len(events))), old_event._replace(**flaws[kind]))
    return Data(items, events, style)


def joined(text: str) -> str:
    """A text with its surrogates joined in pairs, and those without a partner as U+FFFD."""
    pairs = json.loads(json.dumps(text))
    return "".join("\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character for character in pairs)


def cleaned_title(title: str | None) -> str:
    """A title without tags, with single blanks; "" for none and for a script."""
    title = joined(title or "")
    if re.search(r"function\s*\(|\bvar \w+\s*=|\.css\b.*\{|@media", title):
        return ""
    return " ".join(re.sub("<[^<>]*>", " ", title).split())


def cleaned(items: Sequence[Item], events: Sequence[Event]) -> tuple[Read, dict[str, int]]:
    """What is left of a dump, in order, and the numbers of dropped rows."""
    counts = dict.fromkeys(
        (
            "items without an id", "items listed again", "items without a title",
            "events without a user, an item or a time", "events of other items", "repeated events",
        ),
        0,
    )  # fmt: skip
    kept: dict[str, Item | None] = {}
    for item in items:
        title = cleaned_title(item.title)
        if not item.id:
            counts["items without an id"] += 1
        elif item.id in kept:
            counts["items listed again"] += 1
        else:
            kept[item.id] = item._replace(title=title) if title else None
            counts["items without a title"] += not title
    left: dict[tuple[Any, ...], Event] = {}
    for event in events:
        if not event.user or not event.item or event.time is None:
            counts["events without a user, an item or a time"] += 1
        elif kept.get(event.item) is None:
            counts["events of other items"] += 1
        elif event[:3] in left:
            counts["repeated events"] += 1
        else:
            left[event[:3]] = event
    return Read([item for item in kept.values() if item], list(left.values())), counts


def dump(data: Data) -> Expected:
    """What readers of dumps make of items and events: categories are without blank ones."""
    items = [
        item._replace(categories=[joined(name) for name in item.categories if name])
        if item.categories is not None
        else item
        for item in data.items
    ]
    return cleaned(items, data.events)


def without_ratings(expected: Expected) -> Expected:
    read, counts = expected
    return read._replace(events=[event._replace(rating=None) for event in read.events]), counts
