"""Streaming means equal the means of all rows at once, whatever the batches."""

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.evaluation.accuracy import accuracy, hit, ndcg
from llmrec.evaluation.significance import clustered_standard_error
from llmrec.evaluation.streaming import RowMeans

NAMES = ("ndcg@10", "hr@10")
RANKS = np.random.default_rng(0).integers(0, 14, 1000)
USERS = np.random.default_rng(1).integers(0, 70, 1000)


def values_of(ranks: np.ndarray) -> dict[str, Tensor]:
    """Returns values like those of validation, with one name more than the metric uses."""
    values = {"ndcg@10": ndcg(ranks, 10), "hr@10": hit(ranks, 10), "mrr@10": ranks}
    return {name: torch.from_numpy(np.asarray(value)) for name, value in values.items()}


def row_means(*parts: tuple[np.ndarray, np.ndarray]) -> RowMeans:
    """Returns the metric after batches of ranks and their users."""
    metric = RowMeans(NAMES, 70)
    for ranks, users in parts:
        metric.update(values_of(ranks), torch.from_numpy(users))
    return metric


def computed(*parts: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    return {name: value.item() for name, value in row_means(*parts).compute().items()}


def test_equals_accuracy() -> None:
    whole = accuracy(RANKS, USERS, list_length=10)
    expected = {name: whole[name] for name in ("ndcg@10", "ndcg@10_se", "hr@10")} | {"rows": 1000, "users": 70}
    error = clustered_standard_error(hit(RANKS, 10).astype(np.float64), USERS)
    assert computed((RANKS, USERS)) == pytest.approx(expected | {"hr@10_se": error})


def test_values_of_any_kind_by_hand() -> None:
    metric = RowMeans(["gain"], 4)
    metric.update({"gain": torch.tensor([1, 3])}, torch.tensor([2, 0]))
    metric.update({"gain": torch.tensor([8], dtype=torch.float32)}, torch.tensor([2]))
    # Deviations from 4, summed by user: -3 + 4 and -1; sqrt(2 / 1 * (1 + 1)) / 3 rows. Two of four users have no row.
    expected = {"rows": 3, "users": 2, "gain": 4, "gain_se": 2 / 3}
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [0, 400, 0, 600], [250] * 4])
def test_the_split_into_batches_changes_nothing(sizes: list[int]) -> None:
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(RANKS, cuts), np.split(USERS, cuts), strict=True)
    assert computed(*parts) == pytest.approx(computed((RANKS, USERS)))


def test_shards_of_processes_add_up() -> None:
    # What torchmetrics' sync does with dist_reduce_fx="sum"; the third process saw no row.
    shards = [row_means((RANKS[:300], USERS[:300])), row_means((RANKS[300:], USERS[300:])), row_means()]
    gathered = row_means((RANKS[:0], USERS[:0]))
    for state, reduction in gathered._reductions.items():
        setattr(gathered, state, reduction(torch.stack([getattr(shard, state) for shard in shards])))
    assert {name: value.item() for name, value in gathered.compute().items()} == pytest.approx(computed((RANKS, USERS)))


def test_reset_forgets() -> None:
    metric = row_means((RANKS, USERS))
    metric.reset()
    metric.update(values_of(np.array([1, 3])), torch.tensor([0, 1]))
    assert metric.compute()["ndcg@10"].item() == pytest.approx((1 + 1 / 2) / 2)


def test_too_few_rows_leave_metrics_out_rather_than_nan() -> None:
    assert computed((RANKS[:0], USERS[:0])) == {"rows": 0, "users": 0}
    two_of_one_user = (np.array([1, 1]), np.array([5, 5]))
    assert computed(two_of_one_user) == {"rows": 2, "users": 1, "ndcg@10": 1, "hr@10": 1}
