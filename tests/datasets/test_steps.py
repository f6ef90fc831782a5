"""Assignment of rows to optimizer steps and micro-batches."""

from itertools import pairwise

import numpy as np
import pytest

from llmrec.datasets.steps import BATCHES_PER_GROUP, LengthGroupedSteps


def steps_of(
    rows: int, batch: int = 8, micro: int = 8, seed: int = 1, epoch: int = 0, rank: int = 0, ranks: int = 1
) -> list[list[np.ndarray]]:
    """Returns the micro-batches of each step for prompts of 50 to 99 tokens."""
    lengths = np.random.default_rng(rows).integers(50, 100, rows)
    return list(LengthGroupedSteps(lengths, batch, lambda _: micro, seed, epoch, rank, ranks))


def members(steps: list[list[np.ndarray]]) -> list[set[int]]:
    """Returns the rows of each step over all its micro-batches."""
    return [{int(row) for part in step for row in part} for step in steps]


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 1000, 8 * BATCHES_PER_GROUP + 3])
@pytest.mark.parametrize(("batch", "micro"), [(1, 1), (8, 8), (8, 3), (32, 5)])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_row_comes_exactly_once_an_epoch(rows: int, batch: int, micro: int, ranks: int) -> None:
    seen = [
        int(row)
        for rank in range(ranks)
        for step in steps_of(rows, batch, micro, rank=rank, ranks=ranks)
        for part in step
        for row in part
    ]
    assert sorted(seen) == list(range(rows))


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (8, 1), (9, 2), (1000, 125), (1001, 126)])
def test_as_many_steps_as_it_says(rows: int, steps: int) -> None:
    assert len(LengthGroupedSteps(np.ones(rows), 8, lambda _: 8, seed=1, epoch=0, rank=0, ranks=1)) == steps
    assert len(steps_of(rows)) == steps


def test_no_step_and_no_micro_batch_is_larger_than_its_limit() -> None:
    steps = steps_of(101, batch=8, micro=3)
    assert sorted(sum(map(len, step)) for step in steps) == [5] + [8] * 12
    assert all(1 <= len(part) <= 3 for step in steps for part in step)


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_the_ranks_share_the_steps_of_one_rank(ranks: int) -> None:
    parts = [members(steps_of(101, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert [set().union(*step) for step in zip(*parts, strict=True)] == members(steps_of(101))


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_the_size_of_micro_batches_changes_no_step(micro: int) -> None:
    assert members(steps_of(101, micro=micro)) == members(steps_of(101, micro=8))


def test_another_epoch_has_another_order_and_other_steps() -> None:
    first, second = members(steps_of(101)), members(steps_of(101, epoch=1))
    assert first != second
    assert {frozenset(step) for step in first} != {frozenset(step) for step in second}


def test_the_seed_decides_the_order() -> None:
    assert members(steps_of(101)) == members(steps_of(101))
    assert members(steps_of(101)) != members(steps_of(101, seed=2))


def test_rows_of_a_step_are_alike_in_length() -> None:
    lengths = np.arange(BATCHES_PER_GROUP * 8)
    for (part,) in LengthGroupedSteps(lengths, 8, lambda _: 8, seed=1, epoch=0, rank=0, ranks=1):
        assert lengths[part].max() - lengths[part].min() == 7


def test_steps_do_not_come_in_order_of_length() -> None:
    mean = [float(np.mean(part)) for (part,) in LengthGroupedSteps(np.arange(400), 8, lambda _: 8, 1, 0, 0, 1)]
    rising = sum(one < other for one, other in pairwise(mean))
    assert 0 < rising < len(mean) - 1
