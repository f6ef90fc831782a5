"""Standard errors, confidence intervals and p-values for metrics with several rows per user.

The sampling unit is the user: rows of one user are not independent.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from llmrec.errors import InputError

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap distribution that bound the 95 % confidence interval."""

DRAWS_AT_ONCE = 2**21
"""User draws used at a time; at 16 bytes each, they take about 34 MB."""
DRAWS_KEPT = 2**24
"""Most user draws that are kept for the next comparison of as many users: 50 MB."""

Parts = Iterable[np.ndarray]
"""Samples of users in parts that are small enough for memory, int [samples, users] each."""


@dataclass(frozen=True)
class Comparison:
    """The difference in a metric between two recommenders on the same rows.

    Attributes:
        difference: Mean of first - second over rows.
        standard_error: Standard error of the difference, clustered by user.
        low: Lower bound of the 95 % confidence interval.
        high: Upper bound of the 95 % confidence interval.
        p_value: Two-sided p-value of no difference.
        users: Number of users.
        rows: Number of rows.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    users: int
    rows: int


def has_several(users: np.ndarray) -> bool:
    """Whether the rows are of more than one user, so that there is a standard error."""
    return bool((users != users[0]).any())


def clustered_standard_error(values: np.ndarray, users: np.ndarray) -> float:
    """Computes the standard error of the mean when rows of one user are not independent.

    With one row per user, it is the ordinary standard error. Source: the cluster-robust sandwich estimator for a mean,
    with the correction G / (G - 1) for G users.

    Args:
        values: float [rows].
        users: The user of each row, str or int [rows].

    Raises:
        InputError: If the shapes differ, a value is not finite, or there are fewer than two users.
    """
    sums, counts = _by_user(values, users)
    residuals = sums - counts * values.mean()
    return math.sqrt(len(sums) / (len(sums) - 1) * (residuals @ residuals)) / len(values)


def compare(
    first: np.ndarray, second: np.ndarray, users: np.ndarray, seed: int = 0, samples: int = 10_000
) -> Comparison:
    """Compares two recommenders on the same rows, with users as the sampling unit.

    The confidence interval is the percentile bootstrap over users. The p-value is that of a sign-flip test, which flips
    the signs of all differences of a user together and assumes that without a difference both signs are equally likely.
    Source: common methods; the combination is our reading.

    Args:
        first: Values of the first recommender, float [rows].
        second: Values of the second recommender on the same rows in the same order, float [rows].
        users: The user of each row, str or int [rows].
        seed: Random seed; equal seeds give equal results.
        samples: Number of samples for the interval, and again for the p-value, at least 1.

    Raises:
        InputError: If the shapes differ, a value is not finite, or there are fewer than two users.
    """
    if first.shape != second.shape:
        raise InputError(
            f"Expected paired values of the same rows, got shapes {first.shape} and {second.shape}. "
            "Evaluate both recommenders on the same lists."
        )
    differences = np.asarray(first, dtype=np.float64) - second
    sums, counts = _by_user(differences, users)
    drawn, signs = _resamples(len(sums), samples, seed)
    low, high = np.percentile(_bootstrap_means(sums, counts, drawn), INTERVAL)
    return Comparison(
        difference=float(differences.mean()),
        standard_error=clustered_standard_error(differences, users),
        low=float(low),
        high=float(high),
        p_value=_sign_flip_p(sums, len(differences), signs),
        users=len(sums),
        rows=len(differences),
    )


Measure = Callable[[np.ndarray], np.ndarray]
"""Maps sums over users of the parts of a metric, [..., parts], to the metric, [...]; not finite = undefined."""


def compare_measures(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    users: np.ndarray,
    measure: Measure,
    seed: int = 0,
    samples: int = 10_000,
) -> Comparison:
    """Compares two recommenders by a metric that is a function of sums over rows, not a mean over rows.

    The confidence interval and the p-value are from the percentile bootstrap over users. The p-value is twice the
    smaller share of draws on one side of 0. Draws in which the metric is undefined are omitted. Source: common methods;
    the combination is our reading.

    Args:
        first: The parts of each run of the first recommender, float [rows, parts] each, with rows in the same order. A
            recommender's metric is the mean over its runs.
        second: The same of the second recommender.
        users: The user of each row, str or int [rows].
        measure: Computes the metric from the sums of its parts.
        seed: Random seed.
        samples: Number of bootstrap samples.

    Raises:
        InputError: If there are fewer than two users, or the metric is undefined in nearly all samples.
    """
    distinct, user = np.unique(users, return_inverse=True)
    if len(distinct) < 2:
        raise InputError(f"the bootstrap needs at least two users, got {len(distinct)}. Evaluate more users.")
    sums_by_user = [[_sums_by_user(run, user) for run in side] for side in (first, second)]

    def difference(counts: np.ndarray) -> np.ndarray:
        sides = [np.mean([measure(counts @ sums) for sums in side], axis=0) for side in sums_by_user]
        result: np.ndarray = sides[0] - sides[1]
        return result

    differences = _bootstrap(difference, len(distinct), samples, seed)
    low, high = np.percentile(differences, INTERVAL)
    # Recommenders with equal metrics can differ by rounding errors, because their rows are summed in another order.
    opposite = min((differences < 1e-12).sum(), (differences > -1e-12).sum())
    return Comparison(
        difference=float(difference(np.ones(len(distinct)))),
        standard_error=float(differences.std(ddof=1)),
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * (1 + int(opposite)) / (1 + len(differences))),
        users=len(distinct),
        rows=len(users),
    )


def measure_interval(
    runs: Sequence[np.ndarray], users: np.ndarray, measure: Measure, seed: int = 0, samples: int = 10_000
) -> tuple[float, float]:
    """Returns the 95 % interval of a metric that is a function of sums over rows: percentile bootstrap over users.

    Args:
        runs: The parts of each run, float [rows, parts] each, with rows in the same order. The metric is the mean over
            the runs.
        users: The user of each row, str or int [rows].
        measure: Computes the metric from the sums of its parts.
        seed: Random seed.
        samples: Number of bootstrap samples.

    Raises:
        InputError: The metric is undefined in nearly all samples.
    """
    distinct, user = np.unique(users, return_inverse=True)
    sums_by_user = [_sums_by_user(run, user) for run in runs]

    def statistic(counts: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.mean([measure(counts @ sums) for sums in sums_by_user], axis=0)
        return result

    low, high = np.percentile(_bootstrap(statistic, len(distinct), samples, seed), INTERVAL)
    return float(low), float(high)


def _bootstrap(statistic: Callable[[np.ndarray], np.ndarray], users: int, samples: int, seed: int) -> np.ndarray:
    """Returns a statistic in bootstrap samples of users in which it is defined, float64 [at most samples].

    Args:
        statistic: Maps how often each user is drawn, float64 [samples, users], to [samples].
        users: Number of users.
        samples: Number of bootstrap samples.
        seed: Random seed.

    Raises:
        InputError: If fewer than two samples have a defined statistic.
    """
    parts = [statistic(counts.astype(np.float64)) for counts in _resamples(users, samples, seed)[0]]
    found = np.concatenate(parts)
    found = found[np.isfinite(found)]
    if len(found) < 2:
        raise InputError(
            f"the metric is undefined in all but {len(found)} of {samples} bootstrap samples of {users} users. "
            "Evaluate more users (evaluation.users), or do not test this metric"
        )
    return found


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts p-values for multiple testing.

    Source: Holm 1979, the step-down form of the Bonferroni correction.

    Args:
        p_values: p-values of all tests, by name.

    Returns:
        Adjusted p-values, at most 1, in the same order.
    """
    names = sorted(p_values, key=lambda name: p_values[name])
    raw = np.array([p_values[name] for name in names])
    # The smallest of m p-values is multiplied by m, the largest by 1, and the results must not decrease.
    stepped = np.maximum.accumulate(raw * np.arange(len(names), 0, -1)).clip(max=1)
    adjusted = dict(zip(names, stepped.tolist(), strict=True))
    return {name: adjusted[name] for name in p_values}


def _by_user(values: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sum of the values, float64, and the number of rows, int64, of each user."""
    if values.shape != users.shape:
        raise InputError(f"Expected one user per value, got {values.shape} values and {users.shape} users.")
    # Comparisons with NaN are false, so the sign-flip test would report the smallest possible p-value.
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise InputError(f"row {row} has a value that is not finite. Exclude rows whose metric is undefined.")
    distinct, user = np.unique(users, return_inverse=True)
    if len(distinct) < 2:
        raise InputError(
            f"a standard error needs at least two users, got {len(distinct)}, because rows of one user are not "
            "independent. Evaluate rows of at least two users."
        )
    return np.bincount(user, weights=values), np.bincount(user)


def _sums_by_user(rows: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Sums [rows, parts] over each user's rows: float64 [users, parts]."""
    return np.stack([np.bincount(user, weights=part) for part in rows.T], axis=1)


def _bootstrap_means(sums: np.ndarray, rows: np.ndarray, drawn: Parts) -> np.ndarray:
    """Returns bootstrap means over rows, with users drawn with replacement, float64 [samples]."""
    both = np.stack([sums, rows], axis=1)
    total, number = np.concatenate([counts @ both for counts in drawn]).T
    means: np.ndarray = total / number
    return means


def _sign_flip_p(sums: np.ndarray, rows: int, drawn: Parts) -> float:
    """Returns the share of sign flips whose mean is at least as far from 0 as the observed one, which also counts."""
    # The tolerance covers rounding errors of flips that leave the mean unchanged.
    observed = abs(sums.sum()) / rows - 1e-12
    is_extreme = np.concatenate([np.abs(signs @ sums) / rows >= observed for signs in drawn])
    return (1 + int(is_extreme.sum())) / (1 + len(is_extreme))


def _resamples(users: int, samples: int, seed: int) -> tuple[Parts, Parts]:
    """Draws users with replacement, and signs.

    Tables compare many runs on the same users, for which all draws are the same, so those of few users are kept.

    Returns:
        counts: How often each user is drawn, with as many draws as users.
        signs: 1 or -1 for each user. To be read after `counts`.
    """
    return (_drawn if users * samples > DRAWS_KEPT else _kept)(users, samples, seed)


@lru_cache(maxsize=1)
def _kept(users: int, samples: int, seed: int) -> tuple[Parts, Parts]:
    counts, signs = _drawn(users, samples, seed)
    return list(counts), list(signs)


def _drawn(users: int, samples: int, seed: int) -> tuple[Parts, Parts]:
    rng, largest = np.random.default_rng(seed), max(1, DRAWS_AT_ONCE // users)
    sizes = [min(largest, samples - start) for start in range(0, samples, largest)]
    counts = (_bootstrap_counts(rng, size, users) for size in sizes)
    return counts, (2 * rng.integers(2, size=(size, users), dtype=np.int8) - 1 for size in sizes)


def _bootstrap_counts(rng: np.random.Generator, samples: int, users: int) -> np.ndarray:
    draws = rng.integers(users, size=(samples, users)) + users * np.arange(samples)[:, None]
    counts = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
    return counts.astype(np.min_scalar_type(users))
