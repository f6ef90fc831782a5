"""Streaming means equal the means of all rows at once, whatever the batches."""

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.evaluation.accuracy import accuracy, hit, ndcg
from llmrec.evaluation.streaming import RowMeans

NAMES = ("ndcg@10", "hr@10")
RANKS = np.random.default_rng(0).integers(0, 14, 1000)


def values_of(ranks: np.ndarray) -> dict[str, Tensor]:
    """Returns values like those of validation, with one name more than the metric uses."""
    values = {"ndcg@10": ndcg(ranks, 10), "hr@10": hit(ranks, 10), "mrr@10": ranks}
    return {name: torch.from_numpy(np.asarray(value)) for name, value in values.items()}


def computed(*batches: np.ndarray) -> dict[str, float]:
    metric = RowMeans(NAMES)
    for batch in batches:
        metric.update(values_of(batch))
    return {name: value.item() for name, value in metric.compute().items()}


def test_equals_accuracy() -> None:
    whole = accuracy(RANKS, list_length=10)
    hits = hit(RANKS, 10)
    expected = {name: whole[name] for name in ("ndcg@10", "ndcg@10_se", "hr@10")} | {"users": 1000}
    assert computed(RANKS) == pytest.approx(expected | {"hr@10_se": hits.std(ddof=1) / 1000**0.5})


def test_values_of_any_kind_by_hand() -> None:
    metric = RowMeans(["gain"])
    metric.update({"gain": torch.tensor([1, 3])})
    metric.update({"gain": torch.tensor([8], dtype=torch.float32)})
    # Squared deviations from 4: 9 + 1 + 16, over 2 and then 3.
    expected = {"users": 3, "gain": 4, "gain_se": (13 / 3) ** 0.5}
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [0, 400, 0, 600], [250] * 4])
def test_the_split_into_batches_changes_nothing(sizes: list[int]) -> None:
    assert computed(*np.split(RANKS, np.cumsum(sizes)[:-1])) == pytest.approx(computed(RANKS))


def test_shards_of_processes_add_up() -> None:
    # What torchmetrics' sync does with dist_reduce_fx="sum"; the third process saw no row.
    shards = [RowMeans(NAMES), RowMeans(NAMES), RowMeans(NAMES)]
    shards[0].update(values_of(RANKS[:300]))
    shards[1].update(values_of(RANKS[300:]))
    gathered = RowMeans(NAMES)
    gathered.update(values_of(RANKS[:0]))
    for state, reduction in gathered._reductions.items():
        setattr(gathered, state, reduction(torch.stack([getattr(shard, state) for shard in shards])))
    assert {name: value.item() for name, value in gathered.compute().items()} == pytest.approx(computed(RANKS))


def test_reset_forgets() -> None:
    metric = RowMeans(NAMES)
    metric.update(values_of(RANKS))
    metric.reset()
    metric.update(values_of(np.array([1, 3])))
    assert metric.compute()["ndcg@10"].item() == pytest.approx((1 + 1 / 2) / 2)


def test_too_few_rows_leave_metrics_out_rather_than_nan() -> None:
    assert computed(RANKS[:0]) == {"users": 0}
    assert computed(np.array([1])) == {"users": 1, "ndcg@10": 1, "hr@10": 1}


def test_values_that_are_all_alike_have_no_error() -> None:
    """Rounding errors must not make the variance negative, because its square root would be NaN."""
    metric = RowMeans(["gain"])
    metric.update({"gain": torch.full((100,), 1e6 + 0.1, dtype=torch.float64)})
    assert metric.squares - metric.sums**2 / metric.users < 0
    assert metric.compute()["gain_se"].item() == 0
