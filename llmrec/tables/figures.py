"""The figures of a table: means over seeds, gains over the reference row, and whether they can be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from llmrec.evaluation.significance import Comparison, compare, holm
from llmrec.tables.measures import value, values
from llmrec.tables.runs import Run

LEVEL = 0.05
SAMPLES = 2000
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

    comparison: of row less reference; by_user: float [users], the same by user; base: the reference's mean.
    """

    comparison: Comparison
    by_user: np.ndarray
    base: float

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


def pairs(arm: Arm, reference: Arm) -> tuple[list[Run], list[Run]]:
    """The runs of both that are compared: those of the seeds that both have; empty where there are none."""
    if arm.once:
        return (list(arm.runs.values()), list(reference.runs.values())) if arm.runs and reference.runs else ([], [])
    shared = [seed for seed in arm.runs if seed in reference.runs]
    return [arm.runs[seed] for seed in shared], [reference.runs[seed] for seed in shared]


def gain(arm: Arm, reference: Arm, place: str) -> float | None:
    """In percent of the reference, over the seeds that both have; None where either is missing or the reference 0."""
    first, second = (figure(runs, place) for runs in pairs(arm, reference))
    if first is None or second is None or second.mean == 0:
        return None
    return 100 * (first.mean - second.mean) / abs(second.mean)


def paired(arm: Arm, reference: Arm, place: str) -> Paired | None:
    """The comparison at a place that `has_users`; None where there is nothing to compare, or not the same rows."""
    first, second = pairs(arm, reference)
    if not first or not second or not same_rows(arm, reference):
        return None
    if any(value(run, place) is None for run in (*first, *second)):
        return None
    mine, theirs = (np.mean([values(run.users, place) for run in runs], axis=0) for runs in (first, second))
    _, user = np.unique(first[0].users["user"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    by_user = np.bincount(user, weights=mine - theirs) / np.bincount(user)
    # The same figures in another order of the seeds have a mean that rounds differently.
    return Paired(compare(mine, theirs, user, samples=SAMPLES), by_user.round(12), float(theirs.mean()))


def same_rows(arm: Arm, reference: Arm) -> bool:
    """Whether all runs that are compared ranked the same rows of test."""
    runs = [run for side in pairs(arm, reference) for run in side]
    return all(run.ranks_rows_of(runs[0]) for run in runs)


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
