"""llmrec.reproduce and llmrec.report: what is missing is run, what is done is read, and nothing is invented."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from llmrec import report, reproduce
from llmrec.tables import read_table, records
from tests.cli.commands import Done, Workplace
from tests.tables.small_table import TABLE, small_table

SCALES = """
    smoke:
      seeds: [1]
      overrides: [scale=debug, dataset.source=simulated, evaluation.users=5, trainer.epochs=1, logger=csv]
      seconds: 60
"""
BROKEN = "MSL: [objective=msl, trainer.learning_rate=1e+30]"


@dataclass
class Tables:
    """Where commands run in this process, with a table of their own."""

    place: Workplace
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def typed(self, command: ModuleType, *arguments: str) -> Done:
        """`python -m command arguments`, in this process."""
        self.monkeypatch.setattr(sys, "argv", [command.__name__, *arguments])
        try:
            command.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, "".join(self.capture.readouterr()))

    def use(self, text: str, scales: str = SCALES) -> None:
        """Makes this table the only one."""
        small_table(self.place.root / "experiments", text, scales)


@pytest.fixture
def tables(
    trained: tuple[Workplace, Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tables:
    place = Workplace(tmp_path, trained[0].cache)
    for name, folder in (("DATA", place.data), ("CACHE", place.cache), ("RUNS", place.runs)):
        monkeypatch.setenv(f"LLMREC_{name}", str(folder))
    monkeypatch.chdir(tmp_path)
    for module in (read_table, records):
        monkeypatch.setattr(module, "tables_dir", lambda: str(tmp_path / "experiments"))
    monkeypatch.setattr(read_table, "SHIPPED", ("small",))
    return Tables(place, monkeypatch, capsys)


@pytest.mark.slow
def test_what_is_missing_is_run_and_what_is_done_is_read(tables: Tables) -> None:
    tables.use(TABLE.replace("MSL: [objective=msl]", BROKEN))
    listed = tables.typed(reproduce, "list=true")
    assert listed.status == 0
    assert listed.output.splitlines()[0] == "3 runs: 3 not run; expected to take 2 minutes, 2 at a time"
    assert not tables.place.runs.exists()

    first = tables.typed(reproduce, "jobs=1")
    assert first.status == 1
    assert "FAILED" in first.output
    assert "Try a smaller trainer.learning_rate" in first.output
    assert "small: 2 of 3 runs done, 1 left (failed)" in first.output
    text = (tables.place.root / "tables" / "smoke" / "report.md").read_text()
    assert "MSL: not run: failed, see " in text
    assert (tables.place.root / "tables" / "smoke" / "report.html").is_file()

    logs = {log: log.stat().st_mtime_ns for log in tables.place.runs.rglob("job.log")}
    tables.use(TABLE.replace("MSL: [objective=msl]", "MSL: [objective=sft]"))
    again = tables.typed(reproduce)
    assert again.status == 0, again.output
    assert again.output.splitlines()[0] == "2 runs: 2 done; nothing is left to run"
    assert "small: 3 of 3 runs done" in again.output
    assert {log: log.stat().st_mtime_ns for log in tables.place.runs.rglob("job.log")} == logs


@pytest.mark.slow
def test_packed_runs_are_done_in_another_checkout(tables: Tables) -> None:
    tables.use(TABLE.replace("MSL: [objective=msl]", "MSL: [objective=sft]"))
    assert tables.typed(reproduce, "jobs=1").status == 0
    csv = (tables.place.root / "tables" / "smoke" / "small.csv").read_bytes()
    packed = tables.typed(report, "pack=runs", "out=experiments/results/records/two.tar.gz")
    size = (tables.place.root / "experiments" / "results" / "records" / "two.tar.gz").stat().st_size
    assert packed.output == (
        f"experiments/results/records/two.tar.gz: 2 runs packed, 0 unfinished runs skipped; {size:,} bytes\n"
    )

    tables.place.runs.rename(tables.place.root / "elsewhere")
    first, second, *cells = tables.typed(reproduce, "list=true").output.splitlines()
    assert first == "2 runs: 2 done; nothing is left to run"
    assert second == "experiments/results/records: 2 runs read; 0 runs of an older version, not used"
    assert len(cells) == 2
    assert all(cell.startswith("done") and cell.endswith("(from records/two.tar.gz)") for cell in cells)
    again = tables.typed(reproduce)
    assert again.status == 0, again.output
    assert "small: 3 of 3 runs done" in again.output
    assert (tables.place.root / "tables" / "smoke" / "small.csv").read_bytes() == csv
    assert not tables.place.runs.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scale=large"], "scale=large: table small has smoke"),
        (["tables=none"], "tables=none: there is no such table. Choose from small"),
        (["jobs=two"], "jobs=two: give a whole number"),
        (["objective=sft"], "objective=sft: this command takes scale, tables, jobs and list"),
    ],
    ids=["scale", "tables", "jobs", "other"],
)
def test_what_cannot_be_reproduced_is_said(arguments: list[str], says: str, tables: Tables) -> None:
    tables.use(TABLE)
    done = tables.typed(reproduce, *arguments)
    assert done.status == 2
    assert says in done.output


def test_a_report_of_nothing_says_that_nothing_was_run(tables: Tables) -> None:
    tables.use(TABLE)
    done = tables.typed(report, "out=here")
    assert done.status == 0, done.output
    assert "small: 0 of 3 runs done, 3 left (not started)" in done.output
    assert "to run what is missing: make reproduce-tables SCALE=smoke" in done.output
    folder = tables.place.root / "here"
    assert {file.name for file in folder.iterdir()} == {"report.html", "report.md", "small.tex", "small.csv"}
    assert "not run" in (folder / "report.md").read_text()


def test_without_a_gpu_what_needs_one_cannot_run(tables: Tables) -> None:
    tables.monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    tables.use(TABLE, f"{SCALES}      needs: gpu\n")
    done = tables.typed(reproduce, "list=true")
    assert done.status == 0, done.output
    first, *cells = done.output.splitlines()
    assert first == "3 runs: 3 cannot run; nothing is left to run"
    assert len(cells) == 3
    assert all(line.startswith("cannot run") and line.endswith("(needs a GPU)") for line in cells)
