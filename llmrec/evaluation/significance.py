"""How sure a mean or a difference of means is when several rows belong to one user: the user is what is sampled."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec.errors import InputError

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap that bound the 95 % interval."""

DRAWS_AT_ONCE = 2**21
"""Draws of users held in memory at a time: 16 bytes each, so about 34 MB."""


@dataclass(frozen=True)
class Comparison:
    """How much higher the first of two recommenders scores than the second on the same rows.

    difference: mean over rows of first - second; standard_error: of it, clustered by user; low, high: its 95 %
    interval; p_value: two-sided, of no difference; users, rows: how many there were.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    users: int
    rows: int


def clustered_standard_error(values: np.ndarray, users: np.ndarray) -> float:
    """Standard error of the mean of `values` when rows of one user are not independent.

    values: float [rows]; users: str or int [rows], whose row it is. With one row a user it is the ordinary standard
    error. Raises InputError for shapes that differ, values that are not finite, and fewer than two users.
    Source: the usual cluster-robust sandwich of a mean, corrected by G / (G - 1) for G users.
    """
    sums, counts = _by_user(values, users)
    deviations = sums - counts * values.mean()
    return math.sqrt(len(sums) / (len(sums) - 1) * (deviations @ deviations)) / len(values)


def compare(
    first: np.ndarray, second: np.ndarray, users: np.ndarray, seed: int = 0, samples: int = 10_000
) -> Comparison:
    """Whether the first recommender scores higher than the second, with whole users as what is sampled.

    first, second: float [rows], of the two recommenders on the same rows in the same order; users: str or int [rows],
    whose row it is; samples: drawn for the interval and again for the p-value, at least 1. One seed, one result.
    The interval is the percentile bootstrap over users; the p-value is that of a test that flips the sign of all
    differences of a user, which assumes that without a difference either sign is as likely.
    Raises InputError for shapes that differ, values that are not finite, and fewer than two users.
    Source: common methods, our reading.
    """
    if first.shape != second.shape:
        raise InputError(
            f"paired values must be of the same rows, got shapes {first.shape} and {second.shape}: "
            "evaluate both recommenders on the same lists"
        )
    differences = np.asarray(first, dtype=np.float64) - second
    sums, counts = _by_user(differences, users)
    rng = np.random.default_rng(seed)
    low, high = np.percentile(_bootstrap_means(sums, counts, rng, samples), INTERVAL)
    return Comparison(
        difference=float(differences.mean()),
        standard_error=clustered_standard_error(differences, users),
        low=float(low),
        high=float(high),
        p_value=_sign_flip_p(sums, len(differences), rng, samples),
        users=len(sums),
        rows=len(differences),
    )


Measure = Callable[[np.ndarray], np.ndarray]
"""A measure [...] from the sums of its parts over users, [..., parts]; not finite where it is undefined."""


def compare_measures(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    users: np.ndarray,
    measure: Measure,
    seed: int = 0,
    samples: int = 10_000,
) -> Comparison:
    """As `compare`, for a measure that is no mean over rows but follows from sums over all of them.

    first, second: of each run of the two recommenders, float [rows, parts], in the same order of rows; users: str or
    int [rows]; a recommender's measure is the mean over its runs. Interval and p-value are the percentile bootstrap
    over users, p twice the smaller share of draws on one side of 0; draws in which the measure is undefined are left
    out. Raises InputError for fewer than two users. Source: common methods, our reading.
    """
    distinct, user = np.unique(users, return_inverse=True)
    if len(distinct) < 2:
        raise InputError(f"{len(distinct)} users cannot be drawn anew: evaluate rows of at least two users")
    by_user = [[_sums(run, user) for run in side] for side in (first, second)]

    def difference(counts: np.ndarray) -> np.ndarray:
        sides = [np.mean([measure(counts @ sums) for sums in side], axis=0) for side in by_user]
        found: np.ndarray = sides[0] - sides[1]
        return found

    rng, drawn = np.random.default_rng(seed), []
    for size in _chunks(samples, len(distinct)):
        draws = rng.integers(len(distinct), size=(size, len(distinct))) + len(distinct) * np.arange(size)[:, None]
        counts = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
        drawn.append(difference(counts.astype(np.float64)))
    differences = np.concatenate(drawn)
    differences = differences[np.isfinite(differences)]
    low, high = np.percentile(differences, INTERVAL)
    # Equal recommenders round differently where their rows were added in another order.
    beyond = min((differences < 1e-12).sum(), (differences > -1e-12).sum())
    return Comparison(
        difference=float(difference(np.ones(len(distinct)))),
        standard_error=float(differences.std(ddof=1)),
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * (1 + int(beyond)) / (1 + len(differences))),
        users=len(distinct),
        rows=len(users),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for testing all of them at once, by name in the order given; at most 1, their order kept.

    Source: Holm 1979, the step-down form of Bonferroni.
    """
    names = sorted(p_values, key=lambda name: p_values[name])
    raw = np.array([p_values[name] for name in names])
    # The smallest of m is multiplied by m, the largest by 1; none may fall below one that was smaller.
    stepped = np.maximum.accumulate(raw * np.arange(len(names), 0, -1)).clip(max=1)
    adjusted = dict(zip(names, stepped.tolist(), strict=True))
    return {name: adjusted[name] for name in p_values}


def _by_user(values: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values, float64, and number of rows, int64, of each user: all that a mean over users needs."""
    if values.shape != users.shape:
        raise InputError(f"each value needs its user, got {values.shape} values and {users.shape} users: give one each")
    # A NaN is above nothing, so the sign-flip test would take it for the clearest difference of all.
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise InputError(f"row {row} has a value that is not finite: leave out rows whose metric is undefined")
    distinct, user = np.unique(users, return_inverse=True)
    if len(distinct) < 2:
        raise InputError(
            f"{len(distinct)} users give no standard error, since rows of one user are not independent: "
            "evaluate rows of at least two users"
        )
    return np.bincount(user, weights=values), np.bincount(user)


def _sums(rows: np.ndarray, user: np.ndarray) -> np.ndarray:
    """float64 [users, parts]: the sums of [rows, parts] over each user's rows."""
    return np.stack([np.bincount(user, weights=part) for part in rows.T], axis=1)


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, samples: int) -> np.ndarray:
    """float64 [samples]: the mean over the rows of as many users as there are, drawn with replacement."""
    means = []
    for size in _chunks(samples, len(sums)):
        drawn = rng.integers(len(sums), size=(size, len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def _sign_flip_p(sums: np.ndarray, rows: int, rng: np.random.Generator, samples: int) -> float:
    """Share of sign flips by user whose mean is as far from 0 as the observed; that one counts too, so never 0."""
    # Flips that leave the mean as it is may round differently.
    observed = abs(sums.sum()) / rows - 1e-12
    as_far = 0
    for size in _chunks(samples, len(sums)):
        signs = 2 * rng.integers(2, size=(size, len(sums)), dtype=np.int8) - 1
        as_far += int((np.abs(signs @ sums) / rows >= observed).sum())
    return (1 + as_far) / (1 + samples)


def _chunks(samples: int, users: int) -> Iterator[int]:
    """Numbers of samples, `samples` in sum, of which each fits in memory at once."""
    largest = max(1, DRAWS_AT_ONCE // users)
    for start in range(0, samples, largest):
        yield min(largest, samples - start)
