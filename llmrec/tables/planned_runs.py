"""Plans the runs of tables at a scale: their jobs, whether they can run here, and their expected duration."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from llmrec.errors import InputError
from llmrec.tables.definition import Preset, Row, Table
from llmrec.tables.plans import Overrides, plan_jobs
from llmrec.tables.read_table import shipped_table
from llmrec.tables.records import Archive, read_archives
from llmrec.tables.runs import Run
from llmrec.training.plan import Job


@dataclass(frozen=True)
class PlannedRun:
    """A run that appears in one or more tables.

    Attributes:
        overrides: The arguments of `python -m llmrec.run`.
        tables: Names of the tables that contain the run.
        job: The planned job, or None if it cannot be planned. Its folders are in the archive `read_from`, if given.
        reason: Why the run cannot be made on this machine, or None.
        seconds: Expected duration in seconds, or None if unknown.
        read_from: The archive that the record is read from, or None if the run is made here.
        older_in: Archives that hold only an older version of the run.
    """

    overrides: tuple[str, ...]
    tables: tuple[str, ...]
    job: Job | None
    reason: str | None
    seconds: float | None
    read_from: str | None = None
    older_in: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The state of the job (`Job.state`), or "cannot run"."""
        if self.job is None or (self.reason and not self.job.done):
            return "cannot run"
        return self.job.state


@dataclass(frozen=True)
class TablePosition:
    """The position of a run in a table: row, dataset and seed, with the overrides that make the run."""

    row: Row
    dataset: str
    seed: int
    overrides: tuple[str, ...]


def planned(tables: Sequence[str], scale: str) -> list[PlannedRun]:
    """Plans each run of the named tables once.

    Runs are ordered by seed, then by table, row and dataset, so that incomplete tables already compare all rows. The
    expected duration of a run is the median over finished runs of the same task and objective, or else the scale's
    estimate.

    Raises:
        InputError: A table or the scale does not exist.
    """
    runs = list(plan_runs([shipped_table(name) for name in tables], scale).values())
    measured_seconds = defaultdict(list)
    for run in runs:
        # Records from archives are left out, since they may come from a faster machine.
        if run.job and run.job.done and run.read_from is None:
            measured_seconds[_group(run.job)].append(Run(run.job).wall_seconds)
    return [
        replace(run, seconds=median(measured_seconds[_group(run.job)]))
        if run.job and measured_seconds[_group(run.job)]
        else run
        for run in runs
    ]


def plan_runs(tables: Sequence[Table], scale: str) -> dict[Overrides, PlannedRun]:
    """Returns the runs by their overrides, in the order of `planned`, with the scale's estimate of their duration."""
    positions_by_overrides: dict[Overrides, list[tuple[int, TablePosition, Table]]] = defaultdict(list)
    for table in tables:
        for position in table_positions(table, scale):
            positions_by_overrides[position.overrides].append(
                (table.preset(scale).seeds.index(position.seed), position, table)
            )
    ordered = sorted(positions_by_overrides, key=lambda overrides: positions_by_overrides[overrides][0][0])
    jobs = plan_jobs({overrides: positions_by_overrides[overrides][0][1].dataset for overrides in ordered})
    archives = read_archives()
    return {
        overrides: _with_archived_record(
            _planned_run(overrides, job, [table for *_, table in positions_by_overrides[overrides]], scale), archives
        )
        for overrides, job in jobs.items()
    }


def table_positions(table: Table, scale: str) -> Iterator[TablePosition]:
    """Yields the positions of the table's runs at a scale; a row with `once` has the first seed only."""
    preset = table.preset(scale)
    for row in table.rows:
        for dataset in preset.datasets:
            if dataset not in row.excluded_datasets:
                for seed in preset.seeds[:1] if row.once else preset.seeds:
                    yield TablePosition(row, dataset, seed, _overrides(preset, row, dataset, seed))


def _overrides(preset: Preset, row: Row, dataset: str, seed: int) -> tuple[str, ...]:
    decoding = [] if preset.scores is None else [f"decoding={preset.scores}"]
    return (*row.overrides, f"dataset={dataset}", f"seed={seed}", *decoding, *preset.overrides)


def _planned_run(overrides: Overrides, job: Job | InputError, tables: list[Table], scale: str) -> PlannedRun:
    preset = tables[0].preset(scale)
    reason = str(job) if isinstance(job, InputError) else None
    if preset.needs == "gpu" and not _has_gpu():
        reason = "needs a GPU"
    names = tuple(dict.fromkeys(table.name for table in tables))
    return PlannedRun(overrides, names, None if isinstance(job, InputError) else job, reason, preset.seconds)


def _with_archived_record(run: PlannedRun, archives: Sequence[Archive]) -> PlannedRun:
    """Returns the run with its record in an archive, unless the run is done on this machine."""
    if run.job is None or run.job.done:
        return run
    located = {archive.name: archive.located(run.job) for archive in archives}
    for name, job in located.items():
        if job.done:
            return replace(run, job=job, read_from=name)
    return replace(run, older_in=tuple(name for name, job in located.items() if job.is_outdated))


def _has_gpu() -> bool:
    # The import takes seconds and most scales do not need it.
    import torch

    return torch.cuda.is_available()


def _group(job: Job) -> tuple[str, str]:
    """Returns the task and the objective or baseline, which determine how long a run takes."""
    *_, task, _, recommender, _ = job.run.folder.parts
    return task, recommender
