"""MSL and its adaptive temperature, by hand."""

from collections.abc import Sequence
from itertools import product
from math import exp, log, log1p, sqrt

import pytest
import torch

from llmrec.objectives.base import Batch
from llmrec.objectives.msl import MSL, adaptive_temperature
from llmrec.objectives.sft import SFT
from tests.objectives.given import given, prepared_batch, step

EOS, QUOTE = 1, 2
TITLES = [[QUOTE, 5, EOS], [QUOTE, 6, 5, EOS], [QUOTE, 6, 7, EOS], [QUOTE, 6, EOS]]
"""The first token, the quote, is forced; then 5 or 6; after 6: EOS, 5 or 7."""
VOCABULARY = 12


def logits(*rows: dict[int, float], elsewhere: float = 50.0) -> torch.Tensor:
    """Returns logits of some tokens. All others are invalid and get a large logit, which must have no effect."""
    full = torch.full((len(rows), VOCABULARY), elsewhere)
    for number, row in enumerate(rows):
        for token, value in row.items():
            full[number, token] = value
    return full


def losses(objective: MSL, batch: Batch, rows: torch.Tensor) -> list[float]:
    return objective.token_losses(given(rows), batch)[0].tolist()


def test_only_positions_with_a_choice_are_supervised() -> None:
    batch = prepared_batch(MSL(), TITLES, [2, 0])
    assert batch.token.tolist() == [6, 7, 5]


def test_the_softmax_is_over_valid_tokens_alone() -> None:
    objective = MSL(temperature=1.0)
    batch = prepared_batch(objective, TITLES, [2])
    rows = logits({5: 0.0, 6: log(3)}, {EOS: 0.0, 5: log(2), 7: log(5)})
    # Three of four, then five of eight.
    assert losses(objective, batch, rows) == pytest.approx([log(4 / 3), log(8 / 5)], rel=1e-5)


def test_the_temperature_divides_the_logits_and_multiplies_the_loss() -> None:
    objective = MSL(temperature=2.0)
    batch = prepared_batch(objective, TITLES, [0])
    rows = logits({5: log(4), 6: log(9)})
    # At tau 2 the weights are 2 and 3.
    assert losses(objective, batch, rows) == pytest.approx([2 * log(5 / 2)], rel=1e-5)


def test_a_temperature_near_zero_asks_for_the_best_valid_token() -> None:
    objective = MSL(temperature=1e-3)
    batch = prepared_batch(objective, TITLES, [1])
    rows = logits({5: 2.5, 6: 1.0}, {EOS: 0.0, 5: 3.0, 7: 1.0})
    assert losses(objective, batch, rows) == pytest.approx([1.5, 0.0], abs=1e-4)


def test_a_large_temperature_asks_for_more_than_the_mean_valid_token() -> None:
    tau = 1000.0
    objective = MSL(temperature=tau)
    batch = prepared_batch(objective, TITLES, [1])
    rows = logits({5: 2.0, 6: 1.0}, {EOS: 0.0, 5: 3.0, 7: 3.0})
    expected = [tau * log(2) + 1.5 - 1.0, tau * log(3) + 2.0 - 3.0]
    assert losses(objective, batch, rows) == pytest.approx(expected, abs=2e-3)


def test_it_is_sft_where_every_token_is_valid() -> None:
    everything = [list(title) for title in product(range(5), repeat=3)]
    targets = [0, 31, 77, 124]
    msl, sft = MSL(temperature=1.0), SFT()
    batch, same = (prepared_batch(objective, everything, targets) for objective in (msl, sft))
    torch.manual_seed(0)
    rows = torch.randn(12, 5) * 3
    assert batch.token.tolist() == same.token.tolist()
    torch.testing.assert_close(msl.token_losses(given(rows), batch)[0], sft.token_losses(given(rows), same)[0])
    assert step(msl, [(given(rows), batch)]) == pytest.approx(step(sft, [(given(rows), same)]), rel=1e-6)


@pytest.mark.parametrize(("reduction", "tokens"), [("branching", 3), ("response", 7)])
def test_the_reduction_decides_what_the_mean_is_over(reduction: str, tokens: int) -> None:
    objective = MSL(temperature=1.0, reduction=reduction)
    batch = prepared_batch(objective, TITLES, [2, 0])
    rows = logits({5: 0.0, 6: 0.0}, {EOS: 0.0, 5: 0.0, 7: 0.0}, {5: 0.0, 6: 0.0})
    assert step(objective, [(given(rows), batch)]) == pytest.approx((2 * log(2) + log(3)) / tokens)


def test_gradients_reach_valid_tokens_alone() -> None:
    objective = MSL(temperature=1.0)
    batch = prepared_batch(objective, TITLES, [0])
    rows = logits({5: 0.0, 6: log(3)}, elsewhere=0.0).requires_grad_()
    objective.token_losses(given(rows), batch)[0].sum().backward()
    expected = torch.zeros(1, VOCABULARY)
    expected[0, 5], expected[0, 6] = 1 / 4 - 1, 3 / 4
    torch.testing.assert_close(rows.grad, expected)


def test_no_gradient_flows_through_the_temperature() -> None:
    rows = logits({5: 0.0, 6: 3.0}, elsewhere=0.0).requires_grad_()
    adaptive = MSL(eta=0.9, statistics="same_step", ema=0.0)
    adaptive.token_losses(given(rows), prepared_batch(adaptive, TITLES, [0]))[0].sum().backward()
    fixed = MSL(temperature=float(adaptive.tau))
    again = rows.detach().clone().requires_grad_()
    fixed.token_losses(given(again), prepared_batch(fixed, TITLES, [0]))[0].sum().backward()
    torch.testing.assert_close(rows.grad, again.grad)


def test_a_fixed_temperature_stays() -> None:
    objective = MSL(temperature=4.5)
    batch = prepared_batch(objective, TITLES, [0])
    step(objective, [(given(logits({5: 9.0, 6: 0.0})), batch)])
    assert objective.monitors() == {"temperature": 4.5}
    assert not objective.needs_whole_step


# The adaptive temperature


def tau(advantage: float, variance: float, fan_out: int, eta: float = 0.25) -> float:
    d, s2 = (torch.tensor(value, dtype=torch.float64) for value in (advantage, variance))
    return float(adaptive_temperature(d, s2, torch.tensor([fan_out]), eta))


def test_the_check_value() -> None:
    assert round(tau(8.0, 4.0, 46), 2) == 3.00


def test_the_check_value_meets_its_aim_on_sampled_logits() -> None:
    # 46 valid logits of variance 4, the positive 8 above the mean of all of them.
    torch.manual_seed(0)
    others = torch.randn(20_000, 45, dtype=torch.float64) * 2
    positive = others.mean(1, keepdim=True) + 8 * 46 / 45
    probability = (torch.cat([positive, others], dim=1) / tau(8.0, 4.0, 46)).softmax(1)[:, 0]
    assert float(probability.mean()) == pytest.approx(0.21, abs=0.005)


def test_without_variance_it_is_the_advantage_over_the_log_ratio() -> None:
    assert tau(6.0, 0.0, 40) == pytest.approx(6.0 / log(10))


def test_more_variance_lowers_it_and_a_negative_root_counts_as_zero() -> None:
    length = log(10)
    assert tau(6.0, 4.0, 40) == pytest.approx((6 + sqrt(36 - 8 * length)) / (2 * length))
    assert tau(6.0, 40.0, 40) == pytest.approx(6 / (2 * length))


WIDE = [[QUOTE, token, EOS] for token in (5, 6, 7, 8, 9)]
"""A root with one child, then five choices: with eta 1/4, m * eta = 5/4."""


def moved(objective: MSL, targets: Sequence[int], *rows: dict[int, float]) -> float:
    """Returns the temperature after one step over rows of valid logits."""
    batch = prepared_batch(objective, WIDE, targets)
    step(objective, [(given(logits(*rows)), batch)])
    return float(objective.tau)


def test_it_starts_where_it_is_told_and_its_first_step_uses_that() -> None:
    objective = MSL(start=2.0, eta=0.25)
    batch = prepared_batch(objective, WIDE, [0])
    rows = logits({5: 2 * log(3), 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0})
    assert step(objective, [(given(rows), batch)]) == pytest.approx(2 * log(7 / 3), rel=1e-5)


def test_same_step_uses_the_temperature_that_the_step_itself_gives() -> None:
    objective = MSL(statistics="same_step", ema=0.0, bounds=(0.0, 100.0))
    batch = prepared_batch(objective, WIDE, [0])
    row = {5: 5.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0}
    # Mean 1, squared deviations 16 + 4, unbiased variance 5, advantage 4.
    length = log(5 / 4)
    expected = (4 + sqrt(16 - 2 * 5 * length)) / (2 * length)
    assert step(objective, [(given(logits(row)), batch)]) == pytest.approx(
        expected * log1p(4 * exp(-5 / expected)), rel=1e-5
    )
    assert float(objective.tau) == pytest.approx(expected)
    assert objective.needs_whole_step


def test_it_moves_a_twentieth_of_the_way() -> None:
    row = {5: 1.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0}
    # Mean 1/5, squared deviations 4/5, unbiased variance 1/5, advantage 4/5.
    length = log(5 / 4)
    aim = (0.8 + sqrt(0.64 - 0.4 * length)) / (2 * length)
    assert 1.5 < aim < 5.0
    assert moved(MSL(), [0], row) == pytest.approx(0.95 * 1.5 + 0.05 * aim)


def test_the_aim_is_clamped_before_it_counts() -> None:
    high = {5: 90.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0}
    low = {5: -90.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0}
    assert moved(MSL(start=2.0), [0], high) == pytest.approx(0.95 * 2.0 + 0.05 * 5.0)
    assert moved(MSL(start=2.0), [0], low) == pytest.approx(0.95 * 2.0 + 0.05 * 1.5)


def test_statistics_are_pooled_over_the_rows_with_an_unbiased_variance() -> None:
    rows = [{5: 3.0, 6: 1.0, 7: 0.0, 8: 0.0, 9: 0.0}, {5: 0.0, 6: 0.0, 7: 2.0, 8: 4.0, 9: 0.0}]
    # Ten valid logits: sum 10, squares 30, variance (30 - 10) / 9; positives 3 and 4, advantage 3.5 - 1.
    length = log(5 / 4)
    aim = (2.5 + sqrt(6.25 - 2 * 20 / 9 * length)) / (2 * length)
    assert moved(MSL(ema=0.0, bounds=(0.0, 100.0)), [0, 3], *rows) == pytest.approx(aim)


def test_positions_after_the_first_choice_do_not_count() -> None:
    # After the first branching node (5 to 9), the first title passes another node with fan-out 5.
    titles = [*WIDE[1:], *[[QUOTE, 5, token, EOS] for token in (5, 6, 7, 8, 9)]]
    first = {5: 1.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0}
    results = []
    for second in (dict.fromkeys(range(5, 10), 0.0), {5: 0.0, 6: 9.0, 7: 9.0, 8: -9.0, 9: 1.0}):
        objective = MSL()
        batch = prepared_batch(objective, titles, [4])
        assert len(batch.state_index) == 2
        step(objective, [(given(logits(first, second)), batch)])
        results.append(float(objective.tau))
    assert results[0] == results[1] != 1.5


@pytest.mark.parametrize("eta", [0.25, 0.2])
def test_it_is_held_where_no_choice_is_wide_enough(eta: float) -> None:
    # With fan-outs 2 and 3, uniform guessing exceeds eta 1/4; with fan-out 5 and eta 1/5, it equals eta.
    titles = TITLES if eta == 0.25 else WIDE
    objective = MSL(eta=eta)
    batch = prepared_batch(objective, titles, [1])
    rows = torch.randn(len(batch.state_index), VOCABULARY)
    step(objective, [(given(rows), batch)])
    assert float(objective.tau) == 1.5


def test_each_row_has_its_own_first_choice_that_is_wide_enough() -> None:
    # Fan-out 2 (5 and 6) is too small for eta 1/2; the next nodes have fan-out 3 or 4.
    titles = [[QUOTE, 5, token, EOS] for token in (3, 4, 5)] + [[QUOTE, 6, token, EOS] for token in (3, 4, 5, 6)]
    objective = MSL(eta=0.5, ema=0.0, bounds=(0.0, 100.0))
    batch = prepared_batch(objective, titles, [0, 3])
    narrow = {5: 7.0, 6: -7.0}
    rows = logits(narrow, {3: 2.0, 4: 0.0, 5: 1.0}, narrow, {3: 3.0, 4: 0.0, 5: 0.0, 6: 1.0})
    step(objective, [(given(rows), batch)])
    # Seven valid logits: sum 7, squares 15, variance 8 / 6; positives 2 and 3, advantage 2.5 - 1.
    three, four = ((1.5 + sqrt(2.25 - 8 / 3 * length)) / (2 * length) for length in (log(1.5), log(2)))
    assert float(objective.tau) == pytest.approx((three + four) / 2)


def test_a_step_without_a_wide_choice_in_one_micro_batch_takes_the_others() -> None:
    titles = [*[[QUOTE, 5, token, EOS] for token in (3, 4, 5)], [QUOTE, 6, EOS]]
    objective = MSL(eta=0.5, ema=0.0, bounds=(0.0, 100.0))
    narrow, wide = prepared_batch(objective, titles, [3]), prepared_batch(objective, titles, [0])
    parts = [
        (given(logits({5: 4.0, 6: 0.0})), narrow),
        (given(logits({5: 4.0, 6: 0.0}, {3: 2.0, 4: 0.0, 5: 1.0})), wide),
    ]
    step(objective, parts)
    assert float(objective.tau) == pytest.approx((1 + sqrt(1 - 2 * log(1.5))) / (2 * log(1.5)))


def test_the_temperature_is_saved() -> None:
    objective, resumed = MSL(), MSL()
    moved(objective, [0], {5: 1.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0})
    resumed.load_state_dict(objective.state_dict())
    assert float(resumed.tau) == float(objective.tau) != 1.5
    assert resumed.monitors()["temperature"] == objective.monitors()["temperature"]
