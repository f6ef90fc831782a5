"""Ranks and accuracy, worked out by hand."""

from itertools import pairwise
from math import log2, sqrt

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import accuracy, hit, item_ranks, ndcg, reciprocal_rank, title_ranks
from tests.evaluation.small import ITEMS

ALICE_TWICE = np.array(["alice", "bob", "alice"])
METRICS = {"ndcg@5", "ndcg@10", "hr@1", "hr@5", "hr@10", "mrr@10"}


def int32(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_title_rank_is_the_position_of_the_target_title() -> None:
    recommended = int32([3, 1, 2], [3, 1, 2], [3, 1, 2], [0, 1, 2])
    assert title_ranks(recommended, int32(3, 2, 0, 0)).tolist() == [1, 3, 0, 1]


def test_a_list_may_end_early_or_be_empty() -> None:
    recommended = int32([4, 1, -1], [4, -1, -1], [-1, -1, -1])
    assert title_ranks(recommended, int32(1, 1, 0)).tolist() == [2, 0, 0]


def test_item_rank_counts_every_item_of_the_titles_before() -> None:
    # Title 0 (Anno) stands for items 0 and 3, so whatever follows it is one place later by item than by title.
    recommended = int32([0, 1, -1], [0, 1, -1], [0, 1, -1], [1, 0, -1], [1, 0, -1], [1, 2, -1])
    target = int32(0, 3, 1, 1, 3, 5)
    assert item_ranks(recommended, target, ITEMS).tolist() == [1, 2, 3, 1, 3, 0]
    assert title_ranks(recommended, ITEMS.title_of[target]).tolist() == [1, 1, 2, 1, 2, 0]


def test_item_ranks_equal_the_list_of_items_written_out() -> None:
    rng = np.random.default_rng(0)
    items = Items([str(i) for i in range(40)], [str(title) for title in rng.integers(0, 25, 40)])
    titles = len(items.distinct_titles)
    recommended = np.stack([rng.permutation(titles)[:10] for _ in range(200)]).astype(np.int32)
    recommended[::3, 6:] = -1
    target = rng.integers(0, 40, 200).astype(np.int32)
    ranks = item_ranks(recommended, target, items)
    for user, titles_of_user in enumerate(recommended):
        written_out = [i for title in titles_of_user for i in range(40) if items.title_of[i] == title]
        assert ranks[user] == (written_out.index(target[user]) + 1 if target[user] in written_out else 0)


def test_metrics_of_each_user() -> None:
    ranks = int32(1, 2, 5, 6, 10, 11, 0)
    assert ndcg(ranks, 5) == pytest.approx([1, 1 / log2(3), 1 / log2(6), 0, 0, 0, 0])
    assert ndcg(ranks, 10) == pytest.approx([1, 1 / log2(3), 1 / log2(6), 1 / log2(7), 1 / log2(11), 0, 0])
    assert hit(ranks, 5).tolist() == [True, True, True, False, False, False, False]
    assert reciprocal_rank(ranks, 10) == pytest.approx([1, 1 / 2, 1 / 5, 1 / 6, 1 / 10, 0, 0])


def test_accuracy_is_the_mean_over_rows() -> None:
    measured = accuracy(int32(1, 3, 7, 0), np.arange(4), list_length=10)
    assert set(measured) == METRICS | {"ndcg@10_se"}
    assert measured["ndcg@5"] == pytest.approx((1 + 1 / 2) / 4)
    assert measured["ndcg@10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert measured["hr@1"] == 1 / 4
    assert measured["hr@5"] == 2 / 4
    assert measured["hr@10"] == 3 / 4
    assert measured["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 7) / 4)


def test_standard_error_of_ndcg() -> None:
    # NDCG 1, 1/2, 1/2, 0: mean 1/2, sample variance (1/4 + 1/4) / 3, divided by 4 users.
    assert accuracy(int32(1, 3, 3, 0), np.arange(4), list_length=10)["ndcg@10_se"] == pytest.approx(sqrt(1 / 6 / 4))
    assert "ndcg@10_se" not in accuracy(int32(1, 3), np.array(["alice", "alice"]), list_length=10)


def test_standard_error_of_ndcg_with_two_rows_of_a_user() -> None:
    # NDCG 1, 0, 1/2: mean 1/2. Residuals by user: alice 1/2 + 0, bob -1/2; sqrt(2 / 1 * (1/4 + 1/4)) / 3 rows = 1/3.
    # By row it would be sqrt((1/4 + 1/4) / 2 / 3) = 0.29.
    assert accuracy(int32(1, 0, 3), ALICE_TWICE, list_length=10)["ndcg@10_se"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("list_length", "names"), [(1, {"hr@1"}), (5, {"ndcg@5", "hr@1", "hr@5"}), (9, {"ndcg@5", "hr@1", "hr@5"})]
)
def test_a_short_list_has_no_metric_beyond_its_length(list_length: int, names: set[str]) -> None:
    assert set(accuracy(int32(1, 0), np.arange(2), list_length)) == names


def test_no_rows_is_an_error() -> None:
    with pytest.raises(InputError, match="there are no rows"):
        accuracy(int32(), int32(), list_length=10)


def test_the_order_of_rows_changes_nothing() -> None:
    ranks, users = np.random.default_rng(0).integers(0, 12, (2, 500))
    assert accuracy(ranks[::-1], users[::-1], 10) == pytest.approx(accuracy(ranks, users, 10))


def test_a_better_rank_never_lowers_a_metric() -> None:
    # 0 is absent, the worst of all.
    worst_to_best = [accuracy(int32(rank, 4), np.arange(2), 10) for rank in (0, *range(12, 0, -1))]
    for worse, better in pairwise(worst_to_best):
        assert all(better[name] >= worse[name] for name in METRICS)
    assert worst_to_best[-1]["ndcg@10"] > worst_to_best[0]["ndcg@10"]
