import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.leakage import prefix_titles
from llmrec.datasets.load import load_dataset
from llmrec.datasets.simulated_titles import SimulatedItems
from llmrec.datasets.simulator import World, best_ndcg10, next_item_probabilities, simulate
from llmrec.errors import InputError
from tests.datasets.layouts import group

NAMES = ["books", "clothing", "games", "office", "toys"]
MOVIES = ["movielens_100k", "movielens_1m"]


def settings(**changes: Any) -> dict[str, Any]:
    return {**group()["simulator"], "items": 200, "users": 300, "ratings": True, **changes}


def test_the_same_seed_gives_the_same_events() -> None:
    (one_world, one), (other_world, other) = simulate(settings()), simulate(settings())
    assert one_world.items.titles == other_world.items.titles
    for field in ("user", "item", "timestamp", "rating"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
    assert not np.array_equal(simulate(settings(seed=99))[1].item[:50], one.item[:50])


@pytest.fixture(scope="module")
def world_and_events() -> tuple[World, Interactions]:
    return simulate(settings())


def test_titles_hold_every_trap() -> None:
    items = simulate(group()["simulator"])[0].items
    assert len(items) == 600
    assert 0 < len(items) - len(items.distinct_titles) < 20
    assert prefix_titles(items.distinct_titles) > 10
    text = "\n".join(items.titles)
    for trap in ("&amp;", "&quot;", '"', "'", "É"):
        assert trap in text
    assert all(title.strip() for title in items.titles)


@pytest.mark.parametrize("name", MOVIES)
def test_titles_of_films_hold_the_traps_too(name: str) -> None:
    text = "\n".join(simulate(group(name)["simulator"])[0].items.titles)
    assert all(trap in text for trap in ("&amp;", "&quot;", '"', "'"))
    assert re.search(r"^\w.* 2 \(19\d\d\)$", text, re.MULTILINE)


def test_too_few_words_are_named() -> None:
    with pytest.raises(InputError, match=r"dataset\.simulator\.items=5000: the words .* Add words"):
        simulate(settings(items=5000))


def test_events_respect_time(world_and_events: tuple[World, Interactions]) -> None:
    world, events = world_and_events
    same_user = events.user[1:] == events.user[:-1]
    assert (np.diff(events.timestamp)[same_user] >= 0).all()
    day = (events.timestamp - events.timestamp.min()) // 86_400 + world.day[world.day >= 0].min()
    assert (world.catalogue.release[events.item] <= day).all()


def test_ratings_are_stars_and_follow_taste(world_and_events: tuple[World, Interactions]) -> None:
    world, events = world_and_events
    assert events.rating is not None
    assert set(np.unique(events.rating)) == {1, 2, 3, 4, 5}
    liking = np.log(world.taste[events.user, events.item] / world.catalogue.popularity[events.item])
    assert np.corrcoef(liking, events.rating)[0, 1] > 0.6


def test_events_without_ratings_are_the_same(world_and_events: tuple[World, Interactions]) -> None:
    world, events = simulate(settings(ratings=False))
    assert events.rating is None
    assert world.items.titles == world_and_events[0].items.titles
    for field in ("user", "item", "timestamp"):
        assert np.array_equal(getattr(events, field), getattr(world_and_events[1], field))


def chosen_of(world: World, events: Interactions) -> np.ndarray:
    chosen = np.full(world.day.shape, -1)
    chosen[world.day >= 0] = events.item
    return chosen


def test_probabilities_sum_to_one(world_and_events: tuple[World, Interactions]) -> None:
    world, events = world_and_events
    for probability in next_item_probabilities(world, chosen_of(world, events)):
        np.testing.assert_allclose(probability.sum(1), 1)


def test_the_best_is_what_the_true_ranking_reaches(world_and_events: tuple[World, Interactions]) -> None:
    world, events = world_and_events
    everything = {"all": np.arange(len(events))}
    best = best_ndcg10(world, events, np.arange(len(world.items)), everything)["all"]
    title, chosen, gains = world.items.title_of, chosen_of(world, events), []
    for step, probability in enumerate(next_item_probabilities(world, chosen)):
        for user in np.flatnonzero(world.day[:, step] >= 0):
            by_title = np.bincount(title, weights=probability[user])
            rank = 1 + (by_title > by_title[title[chosen[user, step]]]).sum()
            gains.append(1 / np.log2(1 + rank) if rank <= 10 else 0)
    assert abs(np.mean(gains) - best) < 4 * np.std(gains) / len(gains) ** 0.5


def test_best_by_hand() -> None:
    # One user, one event; items 0 and 1 share a title: by title 3/8 + 1/8, 3/8 and 1/8 of which item 3 is left out.
    one = np.ones(4, dtype=np.int64)
    catalogue = SimulatedItems(Items(list("0123"), ["A", "A", "B", "C"]), np.arange(4), one, one, one, -one, one * 1.0)
    world = World(catalogue, np.array([[3.0, 1.0, 3.0, 1.0]]), np.ones((1, 4)), np.zeros((1, 1), dtype=np.int64), 0.5)
    events = Interactions(np.array(["u"]), np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int32), np.zeros(1))
    first = np.array([0])
    found = best_ndcg10(world, events, np.arange(4), {"test": first})["test"]
    assert found == pytest.approx(4 / 8 + 3 / 8 / np.log2(3) + 1 / 8 / 2)
    found = best_ndcg10(world, events, np.arange(3), {"test": first})["test"]
    assert found == pytest.approx(4 / 7 + 3 / 7 / np.log2(3))


def test_a_sequel_is_followed_by_hand() -> None:
    # After volume 1 of series 0 its volume 2 (item 1) has probability loyalty + (1 - loyalty) * its share by taste;
    # the item taken keeps a tenth of its weight.
    one = np.ones(3, dtype=np.int64)
    catalogue = SimulatedItems(Items(list("012"), list("ABC")), np.array([0, 0, 1]), np.array([1, 2, 2]), one, one,
                               -one, one * 1.0)  # fmt: skip
    world = World(catalogue, np.ones((1, 3)), np.ones((1, 3)), np.array([[0, 1]]), 0.4)
    _, second = next_item_probabilities(world, np.array([[0, 1]]))
    np.testing.assert_allclose(second[0], 0.6 * np.array([0.1, 1, 1]) / 2.1 + 0.4 * np.array([0, 1, 0]))


def floor_ndcg10(dataset: Dataset) -> float:
    title = dataset.items.title_of
    top = np.argsort(-np.bincount(title[dataset.train.target]), kind="stable")[:10]
    hits = title[dataset.test.target][:, None] == top
    return float((hits / np.log2(2 + np.arange(10))).sum(1).mean())


@pytest.mark.parametrize("name", NAMES)
def test_each_simulated_set_leaves_room_between_floor_and_best(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(group(name, source="simulated"), tmp_path, tmp_path / "cache")
    assert dataset.best_ndcg10 is not None
    assert 2000 <= len(dataset.train) <= 5000
    assert len(dataset.valid) >= 400
    assert len(dataset.test) >= 400
    assert 0.25 < dataset.best_ndcg10["test"] < 0.5
    assert 0.01 < floor_ndcg10(dataset) < 0.05
    assert dataset.report["cold_targets"]["test"]["never_seen"] > 0
    assert dataset.report["titles"]["prefixes"] > 10
    assert dataset.report["titles"]["items"] > dataset.report["titles"]["distinct"]


@pytest.mark.parametrize("name", MOVIES)
def test_simulated_films_are_rated_in_numbers(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(group(name, source="simulated"), tmp_path, tmp_path / "cache")
    assert dataset.best_ndcg10 is not None
    assert 8000 <= len(dataset.train) <= 10_000
    assert min(len(dataset.valid), len(dataset.test)) >= 1000
    assert 0.25 < dataset.best_ndcg10["test"] < 0.5
    assert floor_ndcg10(dataset) < 0.05
