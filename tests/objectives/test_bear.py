"""BEAR: golden values of its weights, by hand, and MSL as its special case."""

from math import log

import pytest
import torch

from llmrec.objectives.bear import BEAR, kth_largest
from llmrec.objectives.msl import MSL
from tests.objectives.given import given, prepared_batch, step
from tests.objectives.test_msl import EOS, TITLES, logits

WIDE = [[token, EOS] for token in range(5, 11)]
"""Six first tokens, each followed by the forced EOS."""
SHARES = [[0.3, 0.4, 0.1, 0.1, 0.05, 0.05], [0.6, 0.05, 0.15, 0.1, 0.06, 0.04]]
"""Probabilities of the first tokens; the third largest is .1 in both rows."""


def test_golden_values() -> None:
    objective = BEAR(k=3, topk_weight=0.25, topk_temperature=2.75)
    batch = prepared_batch(objective, WIDE, [0, 1])
    rows = logits(*({5 + i: log(share) for i, share in enumerate(shares)} for shares in SHARES))
    losses, statistics = objective.token_losses(given(rows), batch)
    # p = (.3, .05) and q = (.1, .1).
    weights = [1.149642, 1.109330]
    assert losses.tolist() == pytest.approx([-weights[0] * log(0.3), -weights[1] * log(0.05)], rel=1e-5)
    assert float(statistics["weights"]) == pytest.approx(sum(weights), rel=1e-6)
    assert step(objective, [(given(rows), batch)]) == pytest.approx(2.083865, rel=1e-5)


def test_the_sum_of_the_weights_is_that_of_all_micro_batches() -> None:
    objective = BEAR(k=3)
    rows = logits(*({5 + i: log(share) for i, share in enumerate(shares)} for shares in SHARES))
    one, other = (prepared_batch(objective, WIDE, [target]) for target in (0, 1))
    parts = [(given(rows[:1]), one), (given(rows[1:]), other)]
    assert step(objective, parts) == pytest.approx(2.083865, rel=1e-5)


def test_weights_have_no_gradient() -> None:
    objective = BEAR(k=2, topk_weight=5.0)
    batch = prepared_batch(objective, WIDE, [0])
    rows = torch.zeros(1, 12, requires_grad=True)
    losses, statistics = objective.token_losses(given(rows), batch)
    losses.sum().backward()
    # Of a uniform softmax over six tokens, times the weight 1 + 5 / 2.
    assert rows.grad is not None
    assert rows.grad[0, 5:11].tolist() == pytest.approx([3.5 * (1 / 6 - 1), *[3.5 / 6] * 5])
    assert not statistics["weights"].requires_grad


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_without_weight_it_is_msl_with_a_fixed_temperature(temperature: float) -> None:
    bear, msl = BEAR(temperature=temperature, topk_weight=0.0), MSL(temperature=temperature)
    rows = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    steps = [step(each, [(given(rows), prepared_batch(each, TITLES, [2, 0]))]) for each in (bear, msl)]
    assert steps[0] == pytest.approx(steps[1], rel=1e-6)


def test_the_threshold_is_the_smallest_where_there_are_fewer() -> None:
    values = torch.tensor([3.0, 1.0, 2.0, 5.0, 7.0])
    owner = torch.tensor([0, 0, 0, 1, 2])
    counts = torch.tensor([3, 1, 1])
    assert kth_largest(values, owner, counts, 2).tolist() == [2.0, 5.0, 7.0]
    assert kth_largest(values, owner, counts, 9).tolist() == [1.0, 5.0, 7.0]
