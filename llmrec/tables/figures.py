"""Computes the values of a table: means over seeds, gains over the reference row, and their significance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from llmrec.evaluation.significance import (
    Comparison,
    clustered_standard_error,
    compare,
    compare_measures,
    holm,
    measure_interval,
)
from llmrec.tables.measures import feature, has_sums, has_users, sums, value, values
from llmrec.tables.runs import Run

LEVEL = 0.05
MIN_SEEDS = 2
"""Seeds from which on a difference may be called significant: with one seed, the next might reverse it."""
NORMAL = 1.96
"""Standard errors on either side of a mean in its 95 % interval."""
SAMPLES = 10_000
"""Bootstrap samples for the interval of a comparison, and as many sign flips for its p-value."""


@dataclass(frozen=True)
class RunsBySeed:
    """The finished runs of a row on a dataset.

    Attributes:
        runs: Runs by seed.
        is_deterministic: Whether the seed does not change the recommender. Its only run then represents all seeds.
    """

    runs: Mapping[int, Run]
    is_deterministic: bool = False


@dataclass(frozen=True)
class Figure:
    """A metric over the seeds for which it was measured.

    Attributes:
        mean: Mean over seeds.
        std: Sample standard deviation over seeds, or None for a single seed.
        seeds: Number of seeds.
    """

    mean: float
    std: float | None
    seeds: int


@dataclass(frozen=True)
class PairedComparison:
    """The comparison of a row with the reference on the same test rows, as means over the same seeds.

    Attributes:
        comparison: Comparison of the row minus the reference.
        seeds: Number of compared runs of the reference.
        base: Mean of the reference.
        by_user: float `[users]`, difference by user; None for a metric of all users together.
    """

    comparison: Comparison
    seeds: int
    base: float
    by_user: np.ndarray | None

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The interval of the difference in percent of the reference, or None if the reference is 0."""
        if self.base == 0:
            return None
        low, high = (100 * end / abs(self.base) for end in (self.comparison.low, self.comparison.high))
        return low, high


def figure(runs: Sequence[Run], metric_path: str) -> Figure | None:
    """Returns the mean and standard deviation of a metric over runs, or None if it was measured for none of them."""
    measured = [result for run in runs if (result := value(run, metric_path)) is not None]
    return Figure(mean(measured), stdev(measured) if len(measured) > 1 else None, len(measured)) if measured else None


def interval(runs: Sequence[Run], metric_path: str) -> tuple[float, float] | None:
    """Returns the 95 % interval of a metric's mean over runs on the same rows, with users as the sampling unit.

    For means over rows it is 1.96 standard errors clustered by user on either side of the mean, for metrics of all rows
    together the percentile bootstrap over users. It is None for other metrics and for fewer than two users.
    """
    measured = [run for run in runs if value(run, metric_path) is not None]
    if not measured or not (has_users(metric_path) or has_sums(metric_path)):
        return None
    users = measured[0].users["user"].to_numpy(zero_copy_only=False).astype(str)
    if len(np.unique(users)) < 2:
        return None
    if has_users(metric_path):
        by_row = np.mean([values(run.users, metric_path) for run in measured], axis=0)
        half = NORMAL * clustered_standard_error(by_row, users)
        return float(by_row.mean() - half), float(by_row.mean() + half)
    parts = [sums(run.users, metric_path) for run in measured]
    return measure_interval([part.rows for part in parts], users, parts[0].measure, samples=SAMPLES)


def pairs(arm: RunsBySeed, reference: RunsBySeed, metric_path: str) -> tuple[list[Run], list[Run]]:
    """Selects the runs that are compared.

    Returns:
        The runs of `arm` and of `reference` for the seeds for which the metric was measured in both; all such runs if
        one of them is deterministic. Both lists are empty if the two were not measured on the same test rows.
    """
    if not same_rows(arm, reference):
        return [], []
    arm_runs, reference_runs = (
        {seed: run for seed, run in side.runs.items() if value(run, metric_path) is not None}
        for side in (arm, reference)
    )
    if arm.is_deterministic or reference.is_deterministic:
        has_both = arm_runs and reference_runs
        return (list(arm_runs.values()), list(reference_runs.values())) if has_both else ([], [])
    shared = [seed for seed in arm_runs if seed in reference_runs]
    return [arm_runs[seed] for seed in shared], [reference_runs[seed] for seed in shared]


def gain(arm: RunsBySeed, reference: RunsBySeed, metric_path: str) -> float | None:
    """Returns the gain over the reference in percent.

    It is computed over the runs of `pairs`, and None if there are none or the reference is 0.
    """
    first, second = (figure(runs, metric_path) for runs in pairs(arm, reference, metric_path))
    if first is None or second is None or second.mean == 0:
        return None
    return 100 * (first.mean - second.mean) / abs(second.mean)


def paired(arm: RunsBySeed, reference: RunsBySeed, metric_path: str) -> PairedComparison | None:
    """Compares a row with the reference, in a metric for which `has_users` or `has_sums` holds.

    Returns:
        The comparison, or None if there are no runs to compare.
    """
    arm_runs, reference_runs = pairs(arm, reference, metric_path)
    if not arm_runs:
        return None
    users = arm_runs[0].users["user"].to_numpy(zero_copy_only=False).astype(str)
    base = figure(reference_runs, metric_path)
    assert base is not None
    if has_users(metric_path):
        first, second = (
            np.mean([values(run.users, metric_path) for run in runs], axis=0) for runs in (arm_runs, reference_runs)
        )
        comparison, by_user = compare(first, second, users, samples=SAMPLES), _by_user(first - second, users)
        return PairedComparison(comparison, len(reference_runs), base.mean, by_user)
    parts = [[sums(run.users, metric_path) for run in runs] for runs in (arm_runs, reference_runs)]
    first, second = ([run.rows for run in side] for side in parts)
    comparison = compare_measures(first, second, users, parts[0][0].measure, samples=SAMPLES)
    return PairedComparison(comparison, len(reference_runs), base.mean, None)


def reference_models(arms: Sequence[RunsBySeed], metric_path: str) -> list[str]:
    """Lists the reference models that a metric of some runs was measured with.

    Values that were measured with different reference models are not comparable.

    Returns:
        The name of each model with the start of the hash of its weights, sorted; empty for a metric that needs no
        reference model.
    """
    needed = feature(metric_path)
    if needed is None:
        return []
    measured = [run for arm in arms for run in arm.runs.values() if value(run, metric_path) is not None]
    models = [model for run in measured if (model := run.reference[needed]) is not None]
    # A copy of a model under another name is the same model, so that models are told apart by their weights.
    by_weights = {model["weights"]: f"{model['model']} {model['weights'][:8]}" for model in models}
    return sorted(by_weights.values())


def same_rows(arm: RunsBySeed, reference: RunsBySeed) -> bool:
    """Whether all runs of both ranked the same test rows for the same task."""
    runs = [*arm.runs.values(), *reference.runs.values()]
    return all(run.ranks_rows_of(runs[0]) for run in runs)


def _by_user(differences: np.ndarray, users: np.ndarray) -> np.ndarray:
    _, user = np.unique(users, return_inverse=True)
    # The order of the seeds changes the last digits of a mean, which would make users differ who do not.
    by_user: np.ndarray = (np.bincount(user, weights=differences) / np.bincount(user)).round(12)
    return by_user


def holm_adjusted(found: Mapping[tuple[str, str], PairedComparison]) -> dict[tuple[str, str], float]:
    """Adjusts the p-values of all comparisons of a metric by Holm's correction; keys are row and dataset."""
    by_text = {"\n".join(key): pair.comparison.p_value for key, pair in found.items()}
    corrected = holm(by_text)
    return dict(zip(found, corrected.values(), strict=True))


def histogram(by_user: np.ndarray, bins: int = 20) -> tuple[list[float], list[int]]:
    """Returns the bin edges and the counts of a histogram of nonzero differences, symmetric about 0.

    Args:
        by_user: float `[users]`, difference by user.
        bins: Number of bins; an even number puts an edge at 0.
    """
    different = by_user[by_user != 0]
    largest = float(np.abs(different).max()) if len(different) else 1.0
    counts, edges = np.histogram(different, bins=bins, range=(-largest, largest))
    return edges.tolist(), counts.tolist()
