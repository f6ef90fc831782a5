"""Errors, intervals and p-values with several rows a user, worked out by hand."""

from math import sqrt

import numpy as np
import pytest

from llmrec.errors import InputError
from llmrec.evaluation import significance
from llmrec.evaluation.significance import (
    Comparison,
    clustered_standard_error,
    compare,
    compare_measures,
    holm,
)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def against_zero(differences: np.ndarray, users: np.ndarray, seed: int = 0, samples: int = 10_000) -> Comparison:
    return compare(differences, np.zeros(len(differences)), users, seed, samples)


def test_clustered_error_by_hand() -> None:
    # Mean 2/3; a is 1/3 + 1/3 above it and b 2/3 below: sqrt(2 / 1 * (4/9 + 4/9)) / 3.
    assert clustered_standard_error(floats(1, 0, 1), np.array(["a", "b", "a"])) == pytest.approx(4 / 9)
    # Mean 1/2; 1, -1/2 and -1/2: sqrt(3 / 2 * (1 + 1/4 + 1/4)) / 4.
    assert clustered_standard_error(floats(1, 1, 0, 0), np.array([7, 7, 2, 5])) == pytest.approx(3 / 8)


def test_with_one_row_a_user_it_is_the_ordinary_standard_error() -> None:
    # Mean 1/2, sample variance (1/4 + 1/4) / 3, divided by 4 users.
    assert clustered_standard_error(floats(1, 1 / 2, 1 / 2, 0), np.arange(4)) == pytest.approx(sqrt(1 / 6 / 4))


def test_more_rows_of_the_same_do_not_make_it_surer() -> None:
    values = np.random.default_rng(0).normal(size=30)
    once = clustered_standard_error(values, np.arange(30))
    assert clustered_standard_error(np.repeat(values, 7), np.repeat(np.arange(30), 7)) == pytest.approx(once)


@pytest.mark.parametrize("users", [[], ["a"], ["a", "a", "a"]])
def test_one_user_gives_no_error(users: list[str]) -> None:
    with pytest.raises(InputError, match="a standard error needs at least two users, got"):
        clustered_standard_error(np.arange(len(users), dtype=np.float64), np.array(users, dtype=str))
    with pytest.raises(InputError, match="a standard error needs at least two users, got"):
        against_zero(np.arange(len(users), dtype=np.float64), np.array(users, dtype=str))


def test_values_that_do_not_pair_up_are_an_error() -> None:
    with pytest.raises(InputError, match=r"Expected paired values of the same rows, got shapes \(2,\) and \(1,\)"):
        compare(floats(1, 2), floats(1), np.arange(2))
    with pytest.raises(InputError, match=r"got \(2,\) values and \(3,\) users"):
        compare(floats(1, 2), floats(1, 2), np.arange(3))
    with pytest.raises(InputError, match=r"got \(2,\) values and \(1,\) users"):
        clustered_standard_error(floats(1, 2), np.arange(1))


def test_an_undefined_value_is_an_error_and_not_a_clear_difference() -> None:
    for undefined in (np.nan, np.inf):
        with pytest.raises(InputError, match="row 1 has a value that is not finite"):
            compare(floats(1, undefined, 0), floats(0, 0, 0), np.arange(3))
        with pytest.raises(InputError, match="row 1 has a value that is not finite"):
            clustered_standard_error(floats(1, undefined, 0), np.arange(3))


def test_comparison_by_hand() -> None:
    # The user a has differences 1/2 and 1/2, b has 0: the mean of rows is 1/3. A draw of two users has mean 1/2 (a a,
    # one in four), 1/3 (a b) or 0 (b b, one in four); no flip changes the distance of 1 + 0 from 0.
    compared = compare(floats(1, 3 / 4, 1 / 4), floats(1 / 2, 1 / 4, 1 / 4), np.array(["a", "a", "b"]))
    assert compared == Comparison(
        difference=pytest.approx(1 / 3),
        # Both users are 1/3 from the mean in sum: sqrt(2 / 1 * (1/9 + 1/9)) / 3.
        standard_error=pytest.approx(2 / 9),
        low=pytest.approx(0),
        high=pytest.approx(1 / 2),
        p_value=1,
        users=2,
        rows=3,
    )


def test_signs_are_flipped_by_user_and_on_both_sides() -> None:
    # Users with 2 and 1 in sum: +2+1 and -2-1 are as far as the observed 3, two of four; single rows would
    # give two of eight.
    assert against_zero(floats(1, 1, 1), np.array([0, 0, 1])).p_value == pytest.approx(1 / 2, abs=0.02)
    assert against_zero(floats(1, 1, 1), np.arange(3)).p_value == pytest.approx(1 / 4, abs=0.02)
    # Observed -1 - 2 + 3 = 0: every flip is as far.
    assert against_zero(floats(-1, -2, 3), np.arange(3)).p_value == 1


def test_flips_as_far_but_for_rounding_count() -> None:
    # Beside +0.4, the rest is at least the observed 0 in five of its eight flips: 0.6, 0.4, 0.2 and twice 0, where
    # rounding alone makes the mean a little less than the observed.
    assert against_zero(floats(0.4, 0.2, 0.1, -0.3), np.arange(4)).p_value == pytest.approx(5 / 8, abs=0.02)


def test_p_value_of_a_clear_difference_is_the_least_and_of_noise_is_not_small() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(50), 4)
    noise = rng.normal(size=200)
    assert against_zero(2 + noise, users, samples=999).p_value == 1 / 1000
    assert against_zero(noise, users, samples=999).p_value > 0.1


def test_rows_repeated_within_users_do_not_make_a_difference_clearer() -> None:
    differences = np.random.default_rng(0).normal(0.3, size=40)
    once = against_zero(differences, np.arange(40))
    often = against_zero(np.repeat(differences, 9), np.repeat(np.arange(40), 9))
    assert (often.low, often.high, often.p_value) == pytest.approx((once.low, once.high, once.p_value))
    assert (often.users, often.rows) == (40, 360)


def test_the_interval_is_that_of_the_mean_over_rows() -> None:
    # Users with 1 to 9 rows and a difference far from 0: were a draw divided by anything but its own number of rows,
    # the interval would be ten times as wide.
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(400), rng.integers(1, 10, 400))
    compared = against_zero(1 + 0.1 * rng.normal(size=len(users)), users)
    error = compared.standard_error
    assert compared.low == pytest.approx(compared.difference - 1.96 * error, abs=error / 10)
    assert compared.high == pytest.approx(compared.difference + 1.96 * error, abs=error / 10)


def test_identical_recommenders_do_not_differ() -> None:
    values = np.random.default_rng(0).random(30)
    assert compare(values, values, np.repeat(np.arange(10), 3)) == Comparison(0, 0, 0, 0, 1, 10, 30)


def test_swapping_the_recommenders_turns_the_difference_round() -> None:
    first, second = np.random.default_rng(0).random((2, 60))
    users = np.repeat(np.arange(20), 3)
    there, back = compare(first, second, users), compare(second, first, users)
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))
    assert back.p_value == there.p_value


def test_one_seed_gives_one_result() -> None:
    differences, users = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(20), 3)
    assert against_zero(differences, users, seed=1) == against_zero(differences, users, seed=1)
    assert against_zero(differences, users, seed=1).low != against_zero(differences, users, seed=2).low


def test_samples_drawn_in_chunks_are_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    differences, users = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(20), 3)
    parallel_trials = against_zero(differences, users, samples=1001)
    monkeypatch.setattr(significance, "DRAWS_KEPT", 0)
    # Of 20 users 5 samples, of which the last chunk has one; and fewer draws than users.
    for draws in (100, 7):
        monkeypatch.setattr(significance, "DRAWS_AT_ONCE", draws)
        in_chunks = against_zero(differences, users, samples=1001)
        assert in_chunks.low == pytest.approx(parallel_trials.low, abs=0.1)
        assert in_chunks.p_value == pytest.approx(parallel_trials.p_value, abs=0.1)
        assert against_zero(floats(1, -1), np.arange(2), samples=1001).p_value == 1


def test_draws_that_are_kept_are_those_that_would_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    differences, users = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(20), 3)
    parts = [[np.stack([values, np.ones(60)], axis=1)] for values in (differences, differences**2)]

    def results() -> list[Comparison]:
        other = against_zero(-differences, users, seed=3)
        return [other, against_zero(differences, users), compare_measures(*parts, users, ratio)]

    significance._kept.cache_clear()
    first, again = results(), results()
    monkeypatch.setattr(significance, "DRAWS_KEPT", 0)
    assert first == again == results()


def ratio(parts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return parts[..., 0] / parts[..., 1]


def test_a_measure_that_is_a_mean_is_compared_as_means_are() -> None:
    generator = np.random.default_rng(1)
    users = generator.integers(60, size=200)
    first, second = generator.random(200) < 0.5, generator.random(200) < 0.3
    parts = [[np.stack([values, np.ones(200)], axis=1)] for values in (first, second)]
    found, expected = compare_measures(*parts, users, ratio), compare(first, second, users)
    assert found.difference == pytest.approx(expected.difference)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.1)
    assert found.p_value < 0.01
    assert (found.users, found.rows) == (len(np.unique(users)), 200)


def test_the_difference_is_of_the_mean_over_runs_by_hand() -> None:
    users = np.array(["a", "a", "b"])
    runs = [np.array([[1, 1], [0, 1], [1, 1]]), np.array([[0, 0], [0, 1], [1, 1]])]
    other = [np.array([[1, 1], [1, 1], [0, 2]])]
    # (2/3 + 1/2) / 2 - 2/4; drawn users are a and b, a twice or b twice.
    found = compare_measures(runs, other, users, ratio)
    assert found.difference == pytest.approx(7 / 12 - 1 / 2)
    assert (found.low, found.high) == pytest.approx(((1 / 2 + 0) / 2 - 1, 1 - 0))


def test_equal_measures_do_not_differ_and_undefined_draws_are_left_out() -> None:
    # Only the first user has a denominator; draws without that one have no measure.
    parts = [np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])]
    found = compare_measures(parts, parts, np.arange(3), ratio)
    assert (found.difference, found.p_value, found.low, found.high) == (0, 1, 0, 0)
    with pytest.raises(InputError, match="the bootstrap needs at least two users, got 1"):
        compare_measures(parts, parts, np.zeros(3), ratio)


def test_holm_by_hand() -> None:
    # Sorted: 1/100 * 4, 1/50 * 3 = 3/50, 1/40 * 2 = 1/20 raised to 3/50, 3/5 * 1.
    adjusted = holm({"c": 1 / 40, "a": 1 / 100, "d": 3 / 5, "b": 1 / 50})
    assert list(adjusted) == ["c", "a", "d", "b"]
    assert adjusted == pytest.approx({"a": 1 / 25, "b": 3 / 50, "c": 3 / 50, "d": 3 / 5})


def test_holm_is_capped_and_leaves_one_or_none_alone() -> None:
    assert holm({"a": 2 / 3, "b": 3 / 4}) == {"a": 1, "b": 1}
    assert holm({"a": 1 / 50}) == {"a": 1 / 50}
    assert holm({}) == {}


def test_a_measure_that_is_undefined_in_every_draw_is_refused() -> None:
    # 0 / 0 whichever users are drawn.
    parts = [np.zeros((3, 2))]
    with pytest.raises(InputError, match="undefined in all but 0 of 10000 bootstrap samples of 3 users"):
        compare_measures(parts, parts, np.arange(3), ratio)
