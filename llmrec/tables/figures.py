"""The figures of a table: means over seeds, gains over the reference row, and whether they can be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from llmrec.evaluation.significance import Comparison, compare, compare_measures, holm
from llmrec.tables.measures import feature, has_users, sums, value, values
from llmrec.tables.runs import Run

LEVEL = 0.05
LEAST_SEEDS = 2
"""Of one seed nothing is called significant: another might undo it."""
SAMPLES = 10_000
"""Drawn for the interval and again for the p-value of a comparison."""


@dataclass(frozen=True)
class Arm:
    """The finished runs of a row on a set, by seed; once: no seed changes it, so its one run stands for all."""

    runs: Mapping[int, Run]
    once: bool = False


@dataclass(frozen=True)
class Figure:
    """A metric over the seeds that have it: mean, sample standard deviation (None of one seed), number of seeds."""

    mean: float
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class Paired:
    """A row against the reference on the same test rows, means over the same seeds.

    comparison: of row less reference; seeds: how many of the reference were compared; base: the reference's mean;
    by_user: float [users], the difference by user, None for what is measured over all users together.
    """

    comparison: Comparison
    seeds: int
    base: float
    by_user: np.ndarray | None

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The interval of the difference in percent of the reference; None where that is 0."""
        if self.base == 0:
            return None
        low, high = (100 * end / abs(self.base) for end in (self.comparison.low, self.comparison.high))
        return low, high


def figure(runs: Sequence[Run], place: str) -> Figure | None:
    """The figure at a place of the records, None where none of the runs has it."""
    found = [measured for run in runs if (measured := value(run, place)) is not None]
    return Figure(mean(found), stdev(found) if len(found) > 1 else None, len(found)) if found else None


def pairs(arm: Arm, reference: Arm, place: str) -> tuple[list[Run], list[Run]]:
    """The runs of both that are compared: those of the seeds for which both have the figure; or none of either."""
    if not same_rows(arm, reference):
        return [], []
    mine, theirs = (
        {seed: run for seed, run in side.runs.items() if value(run, place) is not None} for side in (arm, reference)
    )
    if arm.once:
        return (list(mine.values()), list(theirs.values())) if mine and theirs else ([], [])
    shared = [seed for seed in mine if seed in theirs]
    return [mine[seed] for seed in shared], [theirs[seed] for seed in shared]


def gain(arm: Arm, reference: Arm, place: str) -> float | None:
    """In percent of the reference, over the runs of `pairs`; None where there are none or the reference is 0."""
    first, second = (figure(runs, place) for runs in pairs(arm, reference, place))
    if first is None or second is None or second.mean == 0:
        return None
    return 100 * (first.mean - second.mean) / abs(second.mean)


def paired(arm: Arm, reference: Arm, place: str) -> Paired | None:
    """The comparison at a place that `has_users` or `has_sums`; None where there is nothing to compare."""
    first, second = pairs(arm, reference, place)
    if not first:
        return None
    users = first[0].users["user"].to_numpy(zero_copy_only=False).astype(str)
    base = figure(second, place)
    assert base is not None
    if has_users(place):
        mine, theirs = (np.mean([values(run.users, place) for run in runs], axis=0) for runs in (first, second))
        comparison, by_user = compare(mine, theirs, users, samples=SAMPLES), _by_user(mine - theirs, users)
        return Paired(comparison, len(second), base.mean, by_user)
    parts = [[sums(run.users, place) for run in side] for side in (first, second)]
    mine, theirs = ([run.rows for run in side] for side in parts)
    comparison = compare_measures(mine, theirs, users, parts[0][0].measure, samples=SAMPLES)
    return Paired(comparison, len(second), base.mean, None)


def reference_models(arms: Sequence[Arm], place: str) -> list[str]:
    """The reference models by which some runs were measured, several of which make their figures incomparable.

    Returns:
        Each with its name and the beginning of its weights' hash; none for a figure that is made without one.
    """
    needed = feature(place)
    if needed is None:
        return []
    measured = [run for arm in arms for run in arm.runs.values() if value(run, place) is not None]
    models = [model for run in measured if (model := run.reference[needed]) is not None]
    # A copy of a model under another name is the same model.
    by_weights = {model["weights"]: f"{model['model']} {model['weights'][:8]}" for model in models}
    return sorted(by_weights.values())


def same_rows(arm: Arm, reference: Arm) -> bool:
    """Whether all runs of both ranked the same rows of test, for the same task."""
    runs = [*arm.runs.values(), *reference.runs.values()]
    return all(run.ranks_rows_of(runs[0]) for run in runs)


def _by_user(differences: np.ndarray, users: np.ndarray) -> np.ndarray:
    _, user = np.unique(users, return_inverse=True)
    # The same figures in another order of the seeds have a mean that rounds differently.
    by_user: np.ndarray = (np.bincount(user, weights=differences) / np.bincount(user)).round(12)
    return by_user


def holm_adjusted(found: Mapping[tuple[str, str], Paired]) -> dict[tuple[str, str], float]:
    """p-values by Holm's correction over all comparisons of a metric; keys: row and set."""
    by_text = {"\n".join(key): one.comparison.p_value for key, one in found.items()}
    corrected = holm(by_text)
    return dict(zip(found, corrected.values(), strict=True))


def histogram(by_user: np.ndarray, bins: int = 20) -> tuple[list[float], list[int]]:
    """Edges and counts of the users who differ, with an edge at 0."""
    different = by_user[by_user != 0]
    largest = float(np.abs(different).max()) if len(different) else 1.0
    counts, edges = np.histogram(different, bins=bins, range=(-largest, largest))
    return edges.tolist(), counts.tolist()
