"""Simulated users with tastes, and the best NDCG@10 that their behaviour allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.simulated_titles import SimulatedItems, simulated_items

FIRST_SECOND = 1_400_000_000
SECONDS_A_DAY = 86_400
MEMORY = 3
"""A sequel is sought for the series of the last three events, the latest first in weight."""
FADING = 0.5
REPEAT_WEIGHT = 0.1
"""Weight of an item already taken, against a new one, in a draw by taste."""


@dataclass(frozen=True)
class World:
    """Catalogue and users of a simulation.

    taste: float64 [users, items], popularity times the user's liking of genre and platform; on_platform: float64
    [users, items], the liking of the platform alone; day: int64 [users, steps], -1 after a user's last event.
    """

    catalogue: SimulatedItems
    taste: np.ndarray
    on_platform: np.ndarray
    day: np.ndarray
    loyalty: float

    @property
    def items(self) -> Items:
        """The items and their titles."""
        return self.catalogue.items


def simulate(settings: Mapping[str, Any]) -> tuple[World, Interactions]:
    """Draws a world and its events, ordered by user and step; the same settings give the same events.

    settings: dataset.simulator. At each step a user takes, with probability `loyalty`, the next volume of a series of
    the last events if one is out and new to the user; else an item by taste. Items must have been released. Ratings,
    where settings["ratings"] asks for them, are 1-5 and rise with taste. Timestamps are whole days, so that ties occur.
    """
    rng = np.random.default_rng(settings["seed"])
    world = _draw_world(settings, rng)
    chosen = np.full(world.day.shape, -1)
    for number, probability in enumerate(next_item_probabilities(world, chosen)):
        cumulative = probability.cumsum(1)
        drawn = (cumulative <= rng.random((len(cumulative), 1)) * cumulative[:, -1:]).sum(1)
        chosen[:, number] = np.where(world.day[:, number] >= 0, drawn, -1)
    user, step = np.nonzero(chosen >= 0)
    item = chosen[user, step]
    events = Interactions(
        user_ids=np.array([str(number) for number in range(1, len(chosen) + 1)]),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        timestamp=FIRST_SECOND + SECONDS_A_DAY * world.day[user, step],
        # The last draw: without ratings the events are the same.
        rating=_ratings(world, user, item, rng) if settings["ratings"] else None,
    )
    return world, events


def next_item_probabilities(world: World, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yields P(next item) of every user, float64 [users, items], step by step.

    chosen: int64 [users, steps], the items taken, -1 after a user's last event. Step s is read only after its
    probabilities were yielded, so a simulation fills it as it goes. Rows sum to 1.
    """
    items, users = world.catalogue, np.arange(len(chosen))
    taken = np.zeros(world.taste.shape, dtype=bool)
    for step in range(chosen.shape[1]):
        out = items.release <= world.day[:, step][:, None]
        by_taste = _normalised(world.taste * out * np.where(taken, REPEAT_WEIGHT, 1))
        sequel = np.zeros(world.taste.shape)
        for back in range(1, min(MEMORY, step) + 1):
            last = chosen[:, step - back]
            follows = (items.series == items.series[last][:, None]) & (items.volume == items.volume[last][:, None] + 1)
            sequel += FADING**back * follows
        by_series = _normalised(sequel * world.on_platform * out * ~taken)
        loyal = world.loyalty * (by_series.sum(1, keepdims=True) > 0)
        yield loyal * by_series + (1 - loyal) * by_taste
        taken[users, chosen[:, step]] |= chosen[:, step] >= 0


def best_ndcg10(
    world: World, events: Interactions, kept_items: np.ndarray, targets: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The expected NDCG@10 of the ranking by the true next-item probabilities, by split.

    kept_items: int64, the world's items that are left in the catalogue; targets: by split, int64 positions of the
    rows' targets among the events. Probabilities are renormalised over the items left and summed over items of equal
    title; best = mean over rows of the sum over the ten likeliest titles of p_(k) / log2(1 + k). The ranking knows the
    user's latent taste, whole past and what is out, which no model reads off a history: an upper bound in expectation
    (a finite split may exceed it by chance).
    """
    chosen = np.full(world.day.shape, -1)
    step = np.arange(len(events)) - np.searchsorted(events.user, events.user)
    chosen[events.user, step] = events.item
    title = world.items.title_of[kept_items]
    order = np.argsort(title, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(title[order]) > 0])
    discount = 1 / np.log2(2 + np.arange(min(10, len(first))))
    best = np.zeros(world.day.shape)
    for number, probability in enumerate(next_item_probabilities(world, chosen)):
        by_title = np.add.reduceat(probability[:, kept_items[order]], first, axis=1)
        top = -np.sort(-by_title, axis=1)[:, : len(discount)]
        best[:, number] = (top @ discount) / np.maximum(by_title.sum(1), 1e-12)
    by_event = best[events.user, step]
    return {split: float(by_event[position].mean()) for split, position in targets.items()}


def _draw_world(settings: Mapping[str, Any], rng: np.random.Generator) -> World:
    catalogue = simulated_items(settings, rng)
    users, words = settings["users"], settings["titles"]
    genre_taste = rng.dirichlet(np.full(len(words["genres"]), 0.25), users)
    platform_taste = rng.dirichlet(np.full(len(words["platforms"]), 0.2), users)
    on_platform = platform_taste[:, catalogue.platform] + 1e-3
    # The small numbers keep every released item possible.
    taste = catalogue.popularity * (genre_taste[:, catalogue.genre] + 1e-3) * on_platform
    return World(catalogue, taste, on_platform, _draw_days(settings, rng), settings["loyalty"])


def _draw_days(settings: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    users, mean = settings["users"], settings["events"]
    length = np.minimum(mean // 2 + rng.poisson(mean - mean // 2, users), 3 * mean)
    start = rng.uniform(0, settings["days"], users)
    pauses = rng.exponential(settings["days"] / 60, (users, length.max()))
    day = (start[:, None] + pauses.cumsum(1)).astype(np.int64)
    return np.where(np.arange(length.max()) < length[:, None], day, -1)


def _normalised(weights: np.ndarray) -> np.ndarray:
    total: np.ndarray = weights.sum(1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))


def _ratings(world: World, user: np.ndarray, item: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    liking = np.log(world.taste[user, item] / world.catalogue.popularity[item])
    spread = (liking - liking.mean()) / liking.std()
    stars = np.rint(3.5 + spread + rng.normal(0, 0.6, len(item)))
    return np.asarray(np.clip(stars, 1, 5), dtype=np.float32)
