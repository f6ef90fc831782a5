"""A table at a scale with what of its cells is done."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from llmrec.errors import InputError
from llmrec.tables.cells import PlannedCell, Slot, slots
from llmrec.tables.definition import Metric, Preset, Row, Table
from llmrec.tables.figures import Arm, Paired, holm_adjusted, paired, reference_models
from llmrec.tables.plans import Overrides
from llmrec.tables.runs import Run


@dataclass(frozen=True)
class State:
    """How a cell stands: a state of PlannedCell, and in words why there is no figure of it, "" where there is one."""

    name: str
    why: str


@dataclass(frozen=True)
class Filled:
    """A table at a scale; by name of a row and by set as the table's YAML has it.

    labels: set -> its name in the table ("games-sim"); states: by the slots of the table; paired: metric -> row and
    set -> the comparison with the reference; p: the same, by Holm's correction over the metric; left_out: metric, row
    and set -> the reference models of the row's runs and of those it would stand beside, where they are several.
    """

    table: Table
    preset: Preset
    labels: dict[str, str]
    states: dict[Slot, State]
    arms: dict[tuple[str, str], Arm]
    paired: dict[str, dict[tuple[str, str], Paired]]
    p: dict[str, dict[tuple[str, str], float]]
    left_out: dict[tuple[str, str, str], list[str]]

    @property
    def simulated(self) -> bool:
        """Whether its sets are. Raises InputError where some are and others are not."""
        found = {label.endswith("-sim") for label in self.labels.values()}
        if len(found) > 1:
            raise InputError(
                f"table {self.table.name} at scale={self.preset.scale} has real and simulated sets "
                f"({', '.join(self.labels.values())}): set dataset.source=real or simulated in its overrides"
            )
        return found.pop()

    def why(self, row: Row, dataset: str) -> str | None:
        """In words what is missing of a row on a set; None where nothing is."""
        if dataset in row.not_on:
            return f"not run: {row.not_on[dataset]}"
        mine = {slot: state for slot, state in self.states.items() if (slot.row, slot.dataset) == (row, dataset)}
        parts = []
        for why in dict.fromkeys(state.why for state in mine.values() if state.why):
            seeds = [str(slot.seed) for slot, state in mine.items() if state.why == why]
            parts.append(why if len(seeds) == len(mine) else f"{why} (seed {', '.join(seeds)})")
        return f"not run: {'; '.join(parts)}" if parts else None


def fill(
    table: Table, scale: str, cells: Mapping[Overrides, tuple[PlannedCell, State]], runs: Mapping[Overrides, Run]
) -> Filled:
    """A table with its runs; cells, runs: of all tables, runs the finished ones.

    Raises InputError for a record of another task, score mode or set than the table's.
    """
    preset, placed = table.preset(scale), list(slots(table, scale))
    labels = {
        dataset: _label(dataset, [cells[slot.overrides][0] for slot in placed if slot.dataset == dataset])
        for dataset in preset.datasets
    }
    for slot in placed:
        if slot.overrides in runs:
            _check(runs[slot.overrides], table, preset, labels[slot.dataset])
    arms = {
        (row.name, dataset): Arm(
            {s.seed: runs[s.overrides] for s in placed if (s.row, s.dataset) == (row, dataset) and s.overrides in runs},
            row.once,
        )
        for row in table.rows
        for dataset in preset.datasets
    }
    left_out = _left_out(table, arms)
    tested = [metric for metric in table.metrics if metric.name in table.tested]
    compared = {metric.name: _compared(table, arms, metric, left_out) for metric in tested}
    return Filled(
        table=table,
        preset=preset,
        labels=labels,
        states={slot: cells[slot.overrides][1] for slot in placed},
        arms=arms,
        paired=compared,
        p={metric: holm_adjusted(found) for metric, found in compared.items()},
        left_out=left_out,
    )


def state_of(cell: PlannedCell) -> State:
    """How a cell stands now."""
    name = cell.state
    words = {
        "done": "",
        "outdated": "outdated, made by older code or data",
        "failed": f"failed, see {cell.job and cell.job.cell.failure}",
        "cannot run": cell.why or "",
    }
    return State(name, words.get(name, name))


def _left_out(table: Table, arms: Mapping[tuple[str, str], Arm]) -> dict[tuple[str, str, str], list[str]]:
    """The reference models of each metric, row and dataset that is left out since its runs have different ones."""
    found = {}
    for metric in table.metrics:
        for (row, dataset), arm in arms.items():
            models = reference_models([arm, _basis(table, arms, dataset)], metric.place)
            if arm.runs and len(models) > 1:
                found[metric.name, row, dataset] = models
    return found


def _basis(table: Table, arms: Mapping[tuple[str, str], Arm], dataset: str) -> Arm:
    """The row whose reference model counts on a set: the table's reference or, without runs of it, the first."""
    rows = [arms[row, dataset] for row in (table.reference, *(row.name for row in table.rows))]
    return next((arm for arm in rows if arm.runs), Arm({}))


def _compared(
    table: Table, arms: Mapping[tuple[str, str], Arm], metric: Metric, left_out: Collection[tuple[str, str, str]]
) -> dict[tuple[str, str], Paired]:
    found = {}
    for (row, dataset), arm in arms.items():
        if row != table.reference and (metric.name, row, dataset) not in left_out:
            one = paired(arm, arms[table.reference, dataset], metric.place)
            if one is not None:
                found[row, dataset] = one
    return found


def _check(run: Run, table: Table, preset: Preset, label: str) -> None:
    pairs: dict[str, tuple[Any, Any]] = {
        "task": (run.task, table.task),
        "scores": (run.scores, preset.scores),
        "dataset": (run.test["dataset"], label),
    }
    for what, (own, wanted) in pairs.items():
        if own != wanted:
            raise InputError(
                f"{run.job.record} is of {what}={own}, table {table.name} of {what}={wanted}: tables never mix "
                "tasks, score modes or real and simulated sets; correct the overrides of its row"
            )


def _label(dataset: str, cells: list[PlannedCell]) -> str:
    """The name that the set has in the paths of its cells; as it was asked for where none can be planned."""
    return next((cell.job.cell.folder.parts[-5] for cell in cells if cell.job), dataset)
