"""The catalogue of a simulated set: series with sequels on several platforms, in titles made of words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.errors import InputError

_EDITION_SHARE = 0.15
_RELISTED_SHARE = 0.015


@dataclass(frozen=True)
class SimulatedItems:
    """A simulated catalogue; arrays are [items].

    series, volume (from 1), platform, genre: int64; release: int64 days, below 0 before the period; popularity:
    float64, Zipf weights.
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

    A title is `<first> <second> <genre><number> (<platform>)`, the number from volume 2 on, some with ` - <edition>`:
    so a title can be a prefix of another. A few items are listed twice under one title. HTML entities, quotes and
    accents come with the words. Raises InputError when the words do not give so many items.
    """
    size, words = settings["items"], settings["titles"]
    relisted = round(size * _RELISTED_SHARE)
    originals = list(islice(_drawn(settings, rng), size - relisted))
    if len(originals) < size - relisted:
        raise InputError(
            f"dataset.simulator.items={size}: the words of dataset.simulator.titles give {len(originals)} items. "
            "Add words to its lists first and second, or lower items"
        )
    twice = rng.choice(len(originals), relisted, replace=False)
    rows = originals + [originals[index] for index in twice]
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


def _drawn(settings: Mapping[str, Any], rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    words, days = settings["titles"], settings["days"]
    genres, platforms = len(words["genres"]), len(words["platforms"])
    names = [f"{first} {second}" for first in words["first"] for second in words["second"]]
    for series, name in enumerate(rng.permutation(names)):
        genre = int(rng.integers(genres))
        on = np.flatnonzero(rng.random(platforms) < 0.5)
        on = on if len(on) else rng.integers(platforms, size=1)
        # The first series is out from the first day on, so that every user finds something.
        latest = 0.9 if series else -0.5
        first_release, pause = rng.uniform(-1.2, latest) * days, rng.uniform(0.05, 0.12) * days
        for volume in range(1, int(rng.integers(3, 10))):
            release = int(first_release + volume * pause)
            for platform in on:
                full_name = f"{name} {words['genres'][genre]}"
                yield series, volume, int(platform), None, genre, release, full_name
                if rng.random() < _EDITION_SHARE:
                    edition = int(rng.integers(len(words["editions"])))
                    yield series, volume, int(platform), edition, genre, release, full_name
