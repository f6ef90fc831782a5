"""Graded NDCG of ranked lists, and the rankings of simple baselines, worked out by hand."""

from itertools import permutations

import numpy as np
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.evaluation.graded import graded_ndcg, order_by_scores
from llmrec.evaluation.list_accuracy import list_accuracy, popular_order, random_ndcg
from tests.evaluation.small import DATASET
from tests.tasks.given import CANDIDATES, RANKED, lists_of, titles_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets in train: Anno 2, Civ 2, Braid 1.


def test_ties_of_scores_do_not_hang_on_the_order_shown() -> None:
    lists = lists_of()
    order = np.random.default_rng(0).random((20, 3, 3)).argsort(axis=2)
    expected = np.take_along_axis(CANDIDATES, popular_order(titles_of(lists), DATASET, "test"), 1)
    for shown in map(lists.reordered, order):
        order = popular_order(titles_of(shown), DATASET, "test")
        assert np.take_along_axis(shown.candidates, order, 1).tolist() == expected.tolist()


def test_scores_rank_the_highest_first() -> None:
    scores = np.array([[-1, 5, 2], [0.5, 0.25, 0.75], [3, 3, 4]], dtype=np.float32)
    assert order_by_scores(scores, titles_of(lists_of())).tolist() == [[1, 2, 0], [2, 0, 1], [2, 0, 1]]


@pytest.mark.parametrize("cutoff", [1, 3, 4, 10])
def test_chance_is_the_mean_over_all_orders(cutoff: int) -> None:
    gains = np.array([[7.0, 0, 1, 3], [31, 31, 0, 0], [1, 1, 1, 1]])
    every = [graded_ndcg(np.tile(order, (3, 1)), gains, cutoff) for order in permutations(range(4))]
    assert random_ndcg(gains, cutoff) == pytest.approx(np.mean(every, axis=0))


def test_one_user_has_no_standard_error() -> None:
    found = list_accuracy(RANKED, lists_of(np.array(["u", "u", "u"])))
    assert found.keys() == {"ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10"}


def test_the_floor_counts_the_whole_of_train() -> None:
    """It counts all training rows, not the sample that language models are tuned on."""
    sample = DATASET.train.take(np.array([4]))
    dataset = Dataset("s", True, DATASET.items, DATASET.train, sample, DATASET.valid, DATASET.test, "0", {})
    orders = [popular_order(titles_of(lists_of()), each, "test").tolist() for each in (dataset, DATASET)]
    assert orders[0] == orders[1]
