"""Simulates users with tastes, and computes the best possible NDCG@10 for their behavior."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.simulated_titles import SimulatedItems, simulated_items

START_UNIX_S = 1_400_000_000
"""First second of the simulated period, in May 2014."""
SECONDS_A_DAY = 86_400
SERIES_MEMORY = 3
"""Number of latest events whose series a user may continue."""
SERIES_DECAY = 0.5
"""Factor by which the weight of a series falls with each event further back."""
REPEAT_WEIGHT = 0.1
"""Weight of an item that the user already has, relative to a new one, in a draw by taste."""


@dataclass(frozen=True)
class World:
    """Catalogue and users of a simulation.

    Attributes:
        catalogue: The items with their series, platform, genre, release and popularity.
        taste: Popularity times the user's preference for genre and platform, float64 [users, items].
        on_platform: The user's preference for the platform alone, float64 [users, items].
        day: Day of each event, -1 after the user's last one, int64 [users, steps].
        loyalty: Probability of continuing a series when a sequel is available.
    """

    catalogue: SimulatedItems
    taste: np.ndarray
    on_platform: np.ndarray
    day: np.ndarray
    loyalty: float

    @property
    def items(self) -> Items:
        """Items and titles."""
        return self.catalogue.items


def simulate(settings: Mapping[str, Any]) -> tuple[World, Interactions]:
    """Draws a world and its events, ordered by user and step; the same settings give the same events.

    At each step, with probability `loyalty`, a user takes the next volume of a series of the latest events, if one has
    been released and is new to the user; otherwise an item by taste. Only released items are taken. Timestamps are
    whole days, so that ties occur.

    Args:
        settings: The settings dataset.simulator. With ratings=true, events have ratings from 1 to 5 that rise with
            taste.
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
        timestamp=START_UNIX_S + SECONDS_A_DAY * world.day[user, step],
        # Drawn last, so that the events are the same without ratings.
        rating=_ratings(world, user, item, rng) if settings["ratings"] else None,
    )
    return world, events


def next_item_probabilities(world: World, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the probability of each item to be the next one, step by step.

    Args:
        world: The simulated world.
        chosen: The items that users took, -1 after a user's last event, int64 [users, steps]. Step s is read only after
            its probabilities were yielded, so that a simulation can fill it in the meantime.

    Yields:
        float64 [users, items]; rows sum to 1.
    """
    items, users = world.catalogue, np.arange(len(chosen))
    taken = np.zeros(world.taste.shape, dtype=bool)
    for step in range(chosen.shape[1]):
        is_released = items.release <= world.day[:, step][:, None]
        by_taste = _normalised(world.taste * is_released * np.where(taken, REPEAT_WEIGHT, 1))
        sequel = np.zeros(world.taste.shape)
        for back in range(1, min(SERIES_MEMORY, step) + 1):
            last = chosen[:, step - back]
            follows = (items.series == items.series[last][:, None]) & (items.volume == items.volume[last][:, None] + 1)
            sequel += SERIES_DECAY**back * follows
        by_series = _normalised(sequel * world.on_platform * is_released * ~taken)
        loyal = world.loyalty * (by_series.sum(1, keepdims=True) > 0)
        yield loyal * by_series + (1 - loyal) * by_taste
        taken[users, chosen[:, step]] |= chosen[:, step] >= 0


def best_ndcg10(
    world: World, events: Interactions, core_items: np.ndarray, targets: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Computes the expected NDCG@10 of the ranking by the true next-item probabilities, by split.

    Probabilities are summed over items that share a title and renormalised over the items in the k-core. With p_(k) the
    k-th largest of them, the result is the mean over rows of the sum of p_(k) / log2(1 + k) for k = 1 .. 10. This
    ranking knows the user's latent taste, whole past and the released items, which a model cannot tell from a history.
    It is therefore an upper bound in expectation; on a finite split a model may exceed it by chance.

    Args:
        world: The simulated world.
        events: Its events, as `simulate` returns them.
        core_items: Indices of the world's items that are in the k-core, int64.
        targets: Positions of the rows' targets in `events`, int64 [rows], by split.
    """
    chosen = np.full(world.day.shape, -1)
    step = np.arange(len(events)) - np.searchsorted(events.user, events.user)
    chosen[events.user, step] = events.item
    title = world.items.title_of[core_items]
    order = np.argsort(title, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(title[order]) > 0])
    discount = 1 / np.log2(2 + np.arange(min(10, len(first))))
    best = np.zeros(world.day.shape)
    for number, probability in enumerate(next_item_probabilities(world, chosen)):
        by_title = np.add.reduceat(probability[:, core_items[order]], first, axis=1)
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
    # The added constants give every released item a positive probability.
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
    preference = np.log(world.taste[user, item] / world.catalogue.popularity[item])
    standardized = (preference - preference.mean()) / preference.std()
    stars = np.rint(3.5 + standardized + rng.normal(0, 0.6, len(item)))
    return np.asarray(np.clip(stars, 1, 5), dtype=np.float32)
