"""Re-rankers: places in the order shown are places in the stored one, and what a vote over several orders gives."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmrec.baselines.base import Baseline
from llmrec.datasets.dataset import Rows
from llmrec.datasets.lists import Lists
from llmrec.decoding.list_decoder import PermutationDecoder
from llmrec.decoding.rank_lists import rank_lists
from llmrec.evaluation.graded import borda
from llmrec.tasks.base import Progress
from llmrec.tasks.list_ranker import BaselineListRanker, ModelListRanker, rank_reordered
from llmrec.training.preparation import RunPreparation
from tests.invariants.world import TITLES, preparation_of, small_dataset, small_lists

LISTS = small_lists()
LIKES = np.random.default_rng(0).permutation(len(TITLES))
"""How much somebody likes each item."""


@functools.cache
def small() -> RunPreparation:
    """A random model and the lists as it reads them."""
    return preparation_of(Path(), task="rerank")


def by_likes(lists: Lists) -> np.ndarray:
    """The ranking of somebody who looks at the items alone."""
    return (-LIKES[lists.candidates]).argsort(axis=1)


def as_shown(lists: Lists) -> np.ndarray:
    """The ranking of somebody who looks at the places alone."""
    return np.tile(np.arange(lists.candidates.shape[1]), (len(lists), 1))


def random_orders(count: int, seed: int = 0) -> np.ndarray:
    """int64 [count, lists, m]."""
    return np.random.default_rng(seed).random((count, *LISTS.candidates.shape)).argsort(axis=2)


def order_shown(candidates: np.ndarray) -> np.ndarray:
    """int64 [lists, m]: the stored place of what stands at each place; candidates of a list are distinct."""
    return (LISTS.candidates[:, None] == candidates[:, :, None]).argmax(axis=2)


def model_ranker(bootstrap: int = 1, seed: int = 0, kind: type[ModelListRanker] = ModelListRanker) -> ModelListRanker:
    """A random model's."""
    return kind(small().backbone, small().data, PermutationDecoder(bootstrap, seed))


class Insensitive(ModelListRanker):
    """A model that the order shown does not move; keeps the orders that it was shown."""

    shown: tuple[np.ndarray, ...] = ()

    def _rank(self, lists: Lists, progress: Progress) -> np.ndarray:
        self.shown += (lists.candidates,)
        progress(len(lists))
        return by_likes(lists)


class Liked:
    """A baseline that scores a title by LIKES of its first item, three rows at a time."""

    candidate_scores = Baseline.candidate_scores

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        likes = np.array([LIKES[TITLES.index(title)] for title in dict.fromkeys(TITLES)], dtype=np.float32)
        for start in range(0, len(rows), 3):
            yield np.tile(likes, (min(3, len(rows) - start), 1))


def test_places_are_those_of_the_stored_order() -> None:
    expected = LISTS.candidates[np.arange(8)[:, None], by_likes(LISTS)]
    for order in random_orders(20):
        places = rank_reordered(LISTS, order, by_likes)
        assert places.tolist() == by_likes(LISTS).tolist()
        assert np.take_along_axis(LISTS.candidates, places, 1).tolist() == expected.tolist()
        assert rank_reordered(LISTS, order, as_shown).tolist() == order.tolist()


def test_a_baseline_ranks_by_its_scores_whatever_the_order_shown() -> None:
    told: list[int] = []
    ranker = BaselineListRanker("liked", Liked(), small_dataset(task="rerank"))  # type: ignore[arg-type]
    places = ranker.rank(LISTS, "test", 1, told.append)
    assert told == [3, 3, 2]
    # Items of one title are liked alike.
    likes = np.array([LIKES[TITLES.index(title)] for title in TITLES])
    assert (np.diff(likes[np.take_along_axis(LISTS.candidates, places, 1)], axis=1) < 0).all()
    for order in random_orders(5):
        shown = rank_reordered(LISTS, order, lambda of: ranker.rank(of, "test", 2, told.append))
        assert shown.tolist() == places.tolist()


def test_one_order_is_the_plain_ranking() -> None:
    prompts = small().data.prompts(LISTS).prompts
    expected = rank_lists(small().backbone, small().data.trie, prompts)
    assert model_ranker().rank(LISTS, "test", 1, lambda done: None).tolist() == expected.tolist()


@pytest.mark.parametrize("bootstrap", [2, 7])
def test_a_vote_over_orders_that_do_not_matter_is_the_same_ranking(bootstrap: int) -> None:
    ranker, told = model_ranker(bootstrap, kind=Insensitive), []
    assert ranker.rank(LISTS, "test", 1, told.append).tolist() == by_likes(LISTS).tolist()
    assert sum(told) == bootstrap * len(LISTS)
    # Each time another order, and not one for all lists.
    assert isinstance(ranker, Insensitive)
    orders = [order_shown(candidates).tolist() for candidates in ranker.shown]
    assert len({str(order) for order in orders}) == bootstrap
    assert all(len(np.unique(order, axis=0)) > 2 for order in orders)


def test_a_vote_is_the_borda_sum_of_the_orders_rankings() -> None:
    """Each ranked as the model ranks it, with the candidates shown so."""
    plain = model_ranker()
    seen: list[np.ndarray] = []

    class Watched(ModelListRanker):
        def _rank(self, lists: Lists, progress: Progress) -> np.ndarray:
            seen.append(lists.candidates)
            return super()._rank(lists, progress)

    found = model_ranker(bootstrap=3, kind=Watched).rank(LISTS, "test", 1, lambda done: None)
    rankings = [
        rank_reordered(LISTS, order_shown(candidates), lambda of: plain.rank(of, "test", 2, lambda done: None))
        for candidates in seen
    ]
    assert found.tolist() == borda(np.stack(rankings)).tolist()
    assert any(ranking.tolist() != rankings[0].tolist() for ranking in rankings), "the order shown moves this model"


def test_a_seed_gives_one_ranking() -> None:
    def ranked(seed: int) -> list[list[int]]:
        return model_ranker(bootstrap=2, seed=seed).rank(LISTS, "test", 1, lambda done: None).tolist()

    assert ranked(0) == ranked(0)
    assert any(ranked(seed) != ranked(0) for seed in (1, 2, 3))


def test_another_order_of_a_list_is_voted_on_by_other_orders() -> None:
    ranker = model_ranker(bootstrap=2, kind=Insensitive)
    assert isinstance(ranker, Insensitive)
    for number in (1, 2, 1):
        ranker.rank(LISTS, "test", number, lambda done: None)
    first, second, again = (ranker.shown[start : start + 2] for start in (0, 2, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_free_generation_is_ranked_beside_it() -> None:
    told: list[int] = []
    free = model_ranker().unconstrained_rankings(LISTS, 0, told.append)
    # A random model of a few words writes no ranking.
    assert (free.is_invalid.tolist(), len(free.texts), sum(told)) == ([True] * 8, 8, 8)
    assert np.sort(free.order, axis=1).tolist() == [[0, 1, 2, 3]] * 8
    assert free.order.tolist() == model_ranker().unconstrained_rankings(LISTS, 0, told.append).order.tolist()
