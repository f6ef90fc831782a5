"""The cells of tables at a scale, planned: which jobs they are, which of them cannot run here, what they may take."""

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
class PlannedCell:
    """A cell that one table or several ask for.

    Args:
        overrides: What is typed after `python -m llmrec.run`.
        tables: The names of the tables.
        job: None where it cannot be planned. Its folders lie in the archive `read_from`, if there is one.
        why: The reason why it cannot run on this machine, or None.
        seconds: The time that running it is expected to take, or None where that is not known.
        read_from: The archive of records that it is read from; None for a cell that is run here.
        older_in: The archives that hold it at an older version only.
    """

    overrides: tuple[str, ...]
    tables: tuple[str, ...]
    job: Job | None
    why: str | None
    seconds: float | None
    read_from: str | None = None
    older_in: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """As Job.state, or "cannot run"."""
        if self.job is None or (self.why and not self.job.done):
            return "cannot run"
        return self.job.state


@dataclass(frozen=True)
class Slot:
    """A cell's place in a table."""

    row: Row
    dataset: str
    seed: int
    overrides: tuple[str, ...]


def planned(tables: Sequence[str], scale: str) -> list[PlannedCell]:
    """Each cell of the named tables once: seed by seed, within a seed in the order of tables, rows and sets.

    So early tables compare all rows. Seconds are the median of finished cells of the same objective, else the scale's.
    Raises InputError for tables and scales that do not exist.
    """
    cells = list(plan_cells([shipped_table(name) for name in tables], scale).values())
    known = defaultdict(list)
    for cell in cells:
        # A record may come from a faster machine than this one.
        if cell.job and cell.job.done and cell.read_from is None:
            known[_kind(cell.job)].append(Run(cell.job).wall_seconds)
    return [
        replace(cell, seconds=median(known[_kind(cell.job)])) if cell.job and known[_kind(cell.job)] else cell
        for cell in cells
    ]


def plan_cells(tables: Sequence[Table], scale: str) -> dict[Overrides, PlannedCell]:
    """The cells by their overrides, in the order of `planned`; seconds: the scale's."""
    asked: dict[Overrides, list[tuple[int, Slot, Table]]] = defaultdict(list)
    for table in tables:
        for slot in slots(table, scale):
            asked[slot.overrides].append((table.preset(scale).seeds.index(slot.seed), slot, table))
    ordered = sorted(asked, key=lambda overrides: asked[overrides][0][0])
    jobs = plan_jobs({overrides: asked[overrides][0][1].dataset for overrides in ordered})
    archives = read_archives()
    return {
        overrides: _recorded(_cell(overrides, job, [table for *_, table in asked[overrides]], scale), archives)
        for overrides, job in jobs.items()
    }


def slots(table: Table, scale: str) -> Iterator[Slot]:
    """The places of a table at a scale that a cell belongs in."""
    preset = table.preset(scale)
    for row in table.rows:
        for dataset in preset.datasets:
            if dataset not in row.not_on:
                for seed in preset.seeds[:1] if row.once else preset.seeds:
                    yield Slot(row, dataset, seed, _overrides(preset, row, dataset, seed))


def _overrides(preset: Preset, row: Row, dataset: str, seed: int) -> tuple[str, ...]:
    decoding = [] if preset.scores is None else [f"decoding={preset.scores}"]
    return (*row.overrides, f"dataset={dataset}", f"seed={seed}", *decoding, *preset.overrides)


def _cell(overrides: Overrides, job: Job | InputError, tables: list[Table], scale: str) -> PlannedCell:
    preset = tables[0].preset(scale)
    why = str(job) if isinstance(job, InputError) else None
    if preset.needs == "gpu" and not _gpu_here():
        why = "needs a GPU"
    names = tuple(dict.fromkeys(table.name for table in tables))
    return PlannedCell(overrides, names, None if isinstance(job, InputError) else job, why, preset.seconds)


def _recorded(cell: PlannedCell, archives: Sequence[Archive]) -> PlannedCell:
    """The cell with the record that an archive has of it, unless it is done here."""
    if cell.job is None or cell.job.done:
        return cell
    located = {archive.name: archive.located(cell.job) for archive in archives}
    for name, job in located.items():
        if job.done:
            return replace(cell, job=job, read_from=name)
    return replace(cell, older_in=tuple(name for name, job in located.items() if job.is_outdated))


def _gpu_here() -> bool:
    # Imported here, for it takes seconds that most scales need not spend.
    import torch

    return torch.cuda.is_available()


def _kind(job: Job) -> tuple[str, str]:
    """Task and objective or baseline."""
    *_, task, _, who, _ = job.cell.folder.parts
    return task, who
