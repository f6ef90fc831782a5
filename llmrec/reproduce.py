"""Runs the missing runs of the tables in experiments/: python -m llmrec.reproduce scale=smoke."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from llmrec.command import run_command
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.tables.planned_runs import PlannedRun

HELP = """\
Trains and evaluates the missing or outdated runs of the tables in experiments/,
then writes the report (see python -m llmrec.report --help).

  python -m llmrec.reproduce                      # scale=smoke, all tables
  python -m llmrec.reproduce scale=cpu tables=msl_accuracy,gdrt_fairness jobs=2
  python -m llmrec.reproduce scale=cpu list=true  # lists the runs, runs nothing

jobs=N runs N at a time; the default is one per GPU or, without a GPU, one per
core, at most 8. After an interruption, the same command continues.
Runs in an archive in experiments/results/records/ count as done. Those of an
older version, made with other code or data, are not used; list=true names them.
"""
MAX_JOBS = 8
"""Default limit on a CPU, where each job takes about a gigabyte of memory."""


def main() -> None:
    """Entry point of `llmrec reproduce` and `python -m llmrec.reproduce`."""
    run_command(HELP, _reproduce, needs_arguments=False)


def _reproduce(arguments: list[str]) -> None:
    from llmrec.launcher.pool import Pool
    from llmrec.launcher.summary import print_summary
    from llmrec.report import write_report
    from llmrec.tables.planned_runs import planned
    from llmrec.tables.read_table import SHIPPED
    from llmrec.training.overrides import split_arguments

    own, others = split_arguments(arguments, ["scale", "tables", "jobs", "list"])
    if others:
        raise InputError(f"{others[0]}: this command takes scale, tables, jobs and list (try --help)")
    scale = own.get("scale", "smoke")
    listed = own.get("list", "false").lower()
    if listed not in ("true", "false"):
        raise InputError(f"list={own['list']}: give true, to list the runs only, or false")
    names = own["tables"].split(",") if "tables" in own else list(SHIPPED)
    slots = _slots(own.get("jobs"))
    runs = planned(names, scale)
    print(_expectation(runs, len(slots)), *_records(runs), sep="\n", flush=True)
    if listed == "true":
        _print_runs(runs)
        return
    jobs = [run.job for run in runs if run.job is not None and run.reason is None and not run.job.done]
    outcomes = Pool(slots, [], f"tables {scale}").run(jobs)
    if jobs:
        print_summary(outcomes, [job.overrides for job in jobs])
    write_report(names, scale)
    if any(outcome.state not in ("done", "there") for outcome in outcomes):
        sys.exit(1)


def _slots(jobs: str | None) -> list[dict[str, str]]:
    from llmrec.processes.slots import shared_slots, slots_on_gpus, visible_gpus

    if jobs is not None and not (jobs.isascii() and jobs.isdecimal() and 0 < int(jobs) <= 1024):
        raise InputError(f"jobs={jobs}: give a whole number of at least 1")
    if visible_gpus():
        return slots_on_gpus("all", 1)[: int(jobs) if jobs else None]
    return shared_slots(int(jobs) if jobs else min(os.cpu_count() or 1, MAX_JOBS))


def _expectation(runs: "list[PlannedRun]", slots: int) -> str:
    """Describes how many runs are done, and how long the others are expected to take."""
    states = Counter(run.state for run in runs)
    missing = [run for run in runs if run.state not in ("done", "cannot run")]
    minutes = sum(run.seconds or 0 for run in missing) / slots / 60
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
    expected = f"; expected to take {minutes:.0f} minutes, {slots} at a time" if missing else "; nothing is left to run"
    return f"{len(runs)} runs: {counted}{expected}"


def _records(runs: "list[PlannedRun]") -> list[str]:
    """Returns a line on the runs that archives of records hold, if there are any."""
    read = sum(run.read_from is not None for run in runs)
    older = sum(bool(run.older_in) for run in runs)
    if not read + older:
        return []
    return [f"experiments/results/records: {read} runs read; {older} runs of an older version, not used"]


def _print_runs(runs: "list[PlannedRun]") -> None:
    from llmrec.training.submitted import queue_of

    queue = queue_of(run.job.run.folder for run in runs if run.job is not None)
    for run in runs:
        state, notes = _state(run, queue)
        seconds = f"{run.seconds:5.0f} s" if run.seconds and state != "cannot run" else "      -"
        noted = f"   ({'; '.join(notes)})" if notes else ""
        print(f"{state:<12}{seconds}  {' '.join(run.overrides)}{noted}")


def _state(run: "PlannedRun", queue: Mapping[str, str] | None) -> tuple[str, list[str]]:
    """Returns the state of a run and what there is to say of it."""
    from llmrec.training.progress import read_progress

    if run.job is not None and run.state not in ("done", "cannot run"):
        progress = read_progress(run.job.run, queue)
        if progress.state in (run.state, "running", "queued", "skipped"):
            return progress.state, [str(progress), *_notes(run)]
    return run.state, list(_notes(run))


def _notes(run: "PlannedRun") -> Iterator[str]:
    if run.reason and run.state == "cannot run":
        yield run.reason
    if run.read_from:
        yield f"from {run.read_from}"
    if run.older_in:
        yield f"older version in {', '.join(run.older_in)}"


if __name__ == "__main__":
    main()
