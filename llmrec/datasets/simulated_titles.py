"""Generates the catalogue of a simulated dataset: series with sequels on several platforms, with titles of words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.errors import InputError

_EDITION_SHARE = 0.15
"""Share of items that also exist as a special edition."""
_RELISTED_SHARE = 0.015
"""Share of items that repeat the title of another item."""


@dataclass(frozen=True)
class SimulatedItems:
    """A simulated catalogue; all arrays have shape [items].

    Attributes:
        items: Items and titles.
        series: Number of the series, int64.
        volume: Number of the volume in its series, from 1, int64.
        platform: Index of the platform, int64.
        genre: Index of the genre, int64.
        release: Day of the release, negative before the simulated period, int64.
        popularity: Zipf weight, float64.
    """

    items: Items
    series: np.ndarray
    volume: np.ndarray
    platform: np.ndarray
    genre: np.ndarray
    release: np.ndarray
    popularity: np.ndarray


def simulated_items(settings: Mapping[str, Any], rng: np.random.Generator) -> SimulatedItems:
    """Draws a catalogue of settings["items"] items from the words in settings["titles"].

    A title is `<first> <second> <genre><number> (<platform>)`, with the number from volume 2 on. Some titles end in
    ` - <edition>`, so that a title can be a prefix of another. A few items share their title with another item. The
    words contain HTML entities, quotes and accents, as real titles do.

    Raises:
        InputError: If the words do not give enough items.
    """
    size, words = settings["items"], settings["titles"]
    relisted = round(size * _RELISTED_SHARE)
    originals = list(islice(_draw_items(settings, rng), size - relisted))
    if len(originals) < size - relisted:
        raise InputError(
            f"dataset.simulator.items={size}: the words of dataset.simulator.titles give {len(originals)} items. "
            "Add words to its lists first and second, or lower items"
        )
    relisted_indices = rng.choice(len(originals), relisted, replace=False)
    rows = originals + [originals[index] for index in relisted_indices]
    series, volume, platform, edition, genre, release, name = (list(column) for column in zip(*rows, strict=True))
    titles = [
        name[i]
        + (words["number"].format(n=volume[i]) if volume[i] > 1 else "")
        + f" ({words['platforms'][platform[i]]})"
        + (f" - {words['editions'][edition[i]]}" if edition[i] is not None else "")
        for i in range(size)
    ]
    ids = [str(number) for number in range(1, size + 1)]
    return SimulatedItems(
        items=Items(ids, titles),
        series=np.array(series),
        volume=np.array(volume),
        platform=np.array(platform),
        genre=np.array(genre),
        release=np.array(release),
        popularity=(1.0 + rng.permutation(size)) ** -settings["zipf"],
    )


def _draw_items(settings: Mapping[str, Any], rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yields (series, volume, platform, edition or None, genre, release, name) of each item."""
    words, days = settings["titles"], settings["days"]
    genres, platforms = len(words["genres"]), len(words["platforms"])
    names = [f"{first} {second}" for first in words["first"] for second in words["second"]]
    for series, name in enumerate(rng.permutation(names)):
        genre = int(rng.integers(genres))
        series_platforms = np.flatnonzero(rng.random(platforms) < 0.5)
        series_platforms = series_platforms if len(series_platforms) else rng.integers(platforms, size=1)
        # The first series is released before the first day, so that every user finds an item.
        latest = 0.9 if series else -0.5
        first_release, pause = rng.uniform(-1.2, latest) * days, rng.uniform(0.05, 0.12) * days
        for volume in range(1, int(rng.integers(3, 10))):
            release = int(first_release + volume * pause)
            for platform in series_platforms:
                full_name = f"{name} {words['genres'][genre]}"
                yield series, volume, int(platform), None, genre, release, full_name
                if rng.random() < _EDITION_SHARE:
                    edition = int(rng.integers(len(words["editions"])))
                    yield series, volume, int(platform), edition, genre, release, full_name
