"""Fills a table at a scale with the runs that are finished."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from llmrec.errors import InputError, shortened
from llmrec.tables.definition import Metric, Preset, Row, Table
from llmrec.tables.figures import PairedComparison, RunsBySeed, holm_adjusted, paired, reference_models
from llmrec.tables.planned_runs import PlannedRun, TablePosition, table_positions
from llmrec.tables.plans import Overrides
from llmrec.tables.runs import Run


@dataclass(frozen=True)
class State:
    """The state of a run.

    Attributes:
        name: `PlannedRun.state`.
        reason: Why there are no values of the run; "" if there are.
    """

    name: str
    reason: str

    @property
    def summary(self) -> str:
        """Why the run is left to do, in a few words."""
        if self.name == "cannot run":
            return f"not run: {shortened(' '.join(self.reason.split()), 100)}"
        return {"not run": "not started", "outdated": "outdated"}.get(self.name, self.name)


@dataclass(frozen=True)
class FilledTable:
    """A table at a scale with its finished runs.

    Rows and datasets in keys are the names in the table's YAML.

    Attributes:
        table: The table.
        preset: What is run at the scale.
        labels: Name of each dataset as the table prints it, such as "games-sim".
        states: State of each run, by its position in the table.
        arms: Finished runs, by row and dataset.
        paired: Comparisons with the reference, by metric and then by row and dataset.
        p: p-values of these comparisons, with Holm's correction over the comparisons of a metric.
        left_out: Reference models of the values that are left out, by metric, row and dataset: a value is left out if
            its runs and those of the row that it is compared with were measured with different ones.
    """

    table: Table
    preset: Preset
    labels: dict[str, str]
    states: dict[TablePosition, State]
    arms: dict[tuple[str, str], RunsBySeed]
    paired: dict[str, dict[tuple[str, str], PairedComparison]]
    p: dict[str, dict[tuple[str, str], float]]
    left_out: dict[tuple[str, str, str], list[str]]

    @property
    def simulated(self) -> bool:
        """Whether the datasets are simulated.

        Raises:
            InputError: Some are simulated and others are real.
        """
        found = {label.endswith("-sim") for label in self.labels.values()}
        if len(found) > 1:
            raise InputError(
                f"table {self.table.name} at scale={self.preset.scale} has real and simulated sets "
                f"({', '.join(self.labels.values())}). Set dataset.source=real or simulated in its overrides"
            )
        return found.pop()

    def missing(self, row: Row, dataset: str) -> str | None:
        """Returns which values of a row on a dataset are missing and the reason; None if none are."""
        if dataset in row.excluded_datasets:
            return f"not run: {row.excluded_datasets[dataset]}"
        key = (row, dataset)
        states = {position: state for position, state in self.states.items() if (position.row, position.dataset) == key}
        parts = []
        for reason in dict.fromkeys(state.reason for state in states.values() if state.reason):
            seeds = [str(position.seed) for position, state in states.items() if state.reason == reason]
            parts.append(reason if len(seeds) == len(states) else f"{reason} (seed {', '.join(seeds)})")
        if parts == ["running now"]:
            return "running now"
        return f"not run: {'; '.join(parts)}" if parts else None


def fill(
    table: Table, scale: str, planned: Mapping[Overrides, tuple[PlannedRun, State]], runs: Mapping[Overrides, Run]
) -> FilledTable:
    """Fills a table with its finished runs.

    Args:
        table: The table.
        scale: Name of the scale.
        planned: The planned runs of all tables of the report with their states, by overrides.
        runs: The finished runs of all tables, by overrides.

    Raises:
        InputError: A record is of another task, score mode or dataset than the table.
    """
    preset, placed = table.preset(scale), list(table_positions(table, scale))
    labels = {
        dataset: _label(dataset, [planned[position.overrides][0] for position in placed if position.dataset == dataset])
        for dataset in preset.datasets
    }
    for position in placed:
        if position.overrides in runs:
            _check(runs[position.overrides], table, preset, labels[position.dataset])
    arms = {
        (row.name, dataset): RunsBySeed(
            {s.seed: runs[s.overrides] for s in placed if (s.row, s.dataset) == (row, dataset) and s.overrides in runs},
            row.once,
        )
        for row in table.rows
        for dataset in preset.datasets
    }
    states = {position: planned[position.overrides][1] for position in placed}
    return filled_table(table, preset, labels, states, arms)


def filled_table(
    table: Table,
    preset: Preset,
    labels: dict[str, str],
    states: dict[TablePosition, State],
    arms: dict[tuple[str, str], RunsBySeed],
) -> FilledTable:
    """Compares the finished runs of a table; arguments as the attributes of `FilledTable`."""
    left_out = _left_out(table, arms)
    tested = [metric for metric in table.metrics if metric.name in table.tested]
    compared = {metric.name: _compared(table, arms, metric, left_out) for metric in tested}
    return FilledTable(
        table=table,
        preset=preset,
        labels=labels,
        states=states,
        arms=arms,
        paired=compared,
        p={metric: holm_adjusted(found) for metric, found in compared.items()},
        left_out=left_out,
    )


def state_of(run: PlannedRun) -> State:
    """Returns the current state of a planned run."""
    name = run.state
    words = {
        "done": "",
        "outdated": "outdated, made by older code or data",
        "not run": "not started",
        "failed": f"failed, see {run.job and run.job.run.failure}",
        "cannot run": run.reason or "",
        "running": "running now",
    }
    return State(name, words.get(name, name))


def _left_out(table: Table, arms: Mapping[tuple[str, str], RunsBySeed]) -> dict[tuple[str, str, str], list[str]]:
    """Returns the values that are left out because of different reference models, see `FilledTable.left_out`."""
    found = {}
    for metric in table.metrics:
        for (row, dataset), arm in arms.items():
            models = reference_models([arm, _basis(table, arms, dataset)], metric.metric_path)
            if arm.runs and len(models) > 1:
                found[metric.name, row, dataset] = models
    return found


def _basis(table: Table, arms: Mapping[tuple[str, str], RunsBySeed], dataset: str) -> RunsBySeed:
    """Returns the runs whose reference model counts on a dataset.

    These are those of the table's reference, or of the first row with runs if the reference has none.
    """
    rows = [arms[row, dataset] for row in (table.reference, *(row.name for row in table.rows))]
    return next((arm for arm in rows if arm.runs), RunsBySeed({}))


def _compared(
    table: Table, arms: Mapping[tuple[str, str], RunsBySeed], metric: Metric, left_out: Collection[tuple[str, str, str]]
) -> dict[tuple[str, str], PairedComparison]:
    found = {}
    for (row, dataset), arm in arms.items():
        if row != table.reference and (metric.name, row, dataset) not in left_out:
            comparison = paired(arm, arms[table.reference, dataset], metric.metric_path)
            if comparison is not None:
                found[row, dataset] = comparison
    return found


def _check(run: Run, table: Table, preset: Preset, label: str) -> None:
    facts: dict[str, tuple[Any, Any]] = {
        "task": (run.task, table.task),
        "scores": (run.scores, preset.scores),
        "dataset": (run.test["dataset"], label),
    }
    for name, (found, expected) in facts.items():
        if found != expected:
            raise InputError(
                f"{run.job.record} is of {name}={found}, table {table.name} of {name}={expected}: tables never mix "
                "tasks, score modes, splits or real and simulated sets. Correct the overrides of its row"
            )


def _label(dataset: str, runs: list[PlannedRun]) -> str:
    """Returns the dataset's name in the paths of its runs, or its name in the YAML if none of them can be planned."""
    return next((run.job.run.folder.parts[-5] for run in runs if run.job), dataset)
