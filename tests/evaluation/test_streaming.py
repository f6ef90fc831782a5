"""The streaming metrics equal the ones of all users at once, however the users are split."""

import numpy as np
import pytest
import torch

from llmrec.evaluation.accuracy import accuracy
from llmrec.evaluation.streaming import RankMetrics


@pytest.fixture
def ranks() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 14, 1000))


def computed(*batches: torch.Tensor) -> dict[str, float]:
    metric = RankMetrics()
    for batch in batches:
        metric.update(batch)
    return {name: value.item() for name, value in metric.compute().items()}


def test_equals_accuracy(ranks: torch.Tensor) -> None:
    whole = accuracy(ranks.numpy(), list_length=10)
    expected = {name: whole[name] for name in ("ndcg@10", "ndcg@10_se", "hr@10")} | {"users": 1000}
    assert computed(ranks) == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [0, 400, 0, 600], [250] * 4])
def test_the_split_into_batches_changes_nothing(ranks: torch.Tensor, sizes: list[int]) -> None:
    assert computed(*ranks.split(sizes)) == pytest.approx(computed(ranks))


def test_shards_of_processes_add_up(ranks: torch.Tensor) -> None:
    # What torchmetrics' sync does with dist_reduce_fx="sum"; the third process saw no user.
    shards = [RankMetrics(), RankMetrics(), RankMetrics()]
    shards[0].update(ranks[:300])
    shards[1].update(ranks[300:])
    gathered = RankMetrics()
    gathered.update(ranks[:0])
    for state, reduction in gathered._reductions.items():
        setattr(gathered, state, reduction(torch.stack([getattr(shard, state) for shard in shards])))
    assert {name: value.item() for name, value in gathered.compute().items()} == pytest.approx(computed(ranks))


def test_reset_forgets(ranks: torch.Tensor) -> None:
    metric = RankMetrics()
    metric.update(ranks)
    metric.reset()
    metric.update(torch.tensor([1, 3]))
    assert metric.compute()["ndcg@10"].item() == pytest.approx((1 + 1 / 2) / 2)


def test_too_few_users_leave_metrics_out_rather_than_nan() -> None:
    assert computed(torch.zeros(0, dtype=torch.int64)) == {"users": 0}
    assert computed(torch.tensor([1])) == {"users": 1, "ndcg@10": 1, "hr@10": 1}
