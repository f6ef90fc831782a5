"""Runs the jobs of a sweep, some at a time: stages first, what is done is left alone, what fails is named."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from llmrec.atomic import check_writable
from llmrec.errors import BUSY, BusyError
from llmrec.launcher.plan import Job
from llmrec.launcher.processes import start, stop

JOB_LOG = "job.log"


class Process(Protocol):
    """A job at work."""

    def poll(self) -> int | None:
        """Its exit status once it has ended."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: done, there (it had been done before), failed, or left out since a stage of its failed.

    why: for those that are not done, in words for people.
    """

    job: Job
    state: Literal["done", "there", "failed", "left out"]
    why: str = ""


class Pool:
    """Runs jobs in slots; each slot runs one at a time, with variables of its own in the environment.

    A process of this machine each; one that runs them elsewhere says how with `begin`, `stop` and `whereabouts`.
    """

    pause = 0.1
    """Seconds between two looks at what runs."""
    started = "started"
    """What is said of a job that has begun."""

    def __init__(self, slots: Sequence[Mapping[str, str]], arguments: Sequence[str], group: str) -> None:
        """arguments: before the overrides of every job, such as --config-dir; group: of the sweep's W&B runs."""
        self.slots, self.arguments = slots, arguments
        # The whole traceback goes to the job's log, and its last line says what happened.
        self.shared = {"WANDB_RUN_GROUP": group, "LLMREC_JOBS": str(len(slots)), "HYDRA_FULL_ERROR": "1"}
        self.running: dict[int, tuple[Job, Process, float]] = {}
        self.outcomes: dict[Path, Outcome] = {}
        self.waits_for: set[Path] = set()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs jobs and the stages that they need, and gives the outcome of each job in their order.

        An interruption stops what runs; the same jobs given again go on from there.
        """
        waiting = _with_stages(jobs)
        self.total = len(waiting)
        try:
            while waiting or self.running:
                self._collect(waiting)
                self._settle(waiting)
                self._fill(waiting)
                time.sleep(self.pause)
        except BaseException:
            self.stop([process for _, process, _ in self.running.values()])
            raise
        return [self.outcomes[job.record] for job in jobs]

    def begin(self, job: Job, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Starts a job's command, which leaves what it says in JOB_LOG of its cell."""
        return start(command, environment, job.cell.folder / JOB_LOG)

    def stop(self, processes: Sequence[Any]) -> None:
        """Ends what `begin` gave."""
        stop(processes)

    def whereabouts(self, job: Job, process: Process, status: int) -> str:
        """How a job failed, and where to read why."""
        return f"exit status {status}; its output: {job.cell.folder / JOB_LOG}"

    def _collect(self, waiting: list[Job]) -> None:
        """Takes up what has ended; a job whose cell was taken by another process a moment before waits again."""
        for slot, (job, process, started) in list(self.running.items()):
            status = process.poll()
            if status is None:
                continue
            del self.running[slot]
            if status == BUSY:
                waiting.insert(0, job)
            elif status == 0:
                self._end(Outcome(job, "done"), f"done in {time.monotonic() - started:.0f} s")
            else:
                self._fail(job, self.whereabouts(job, process, status))

    def _settle(self, waiting: list[Job]) -> None:
        """Strikes out what is done already, perhaps meanwhile by another sweep, and what lost a stage."""
        for job in list(waiting):
            lost = [stage for stage in job.stages if self._lost(stage)]
            if job.done:
                waiting.remove(job)
                self._end(Outcome(job, "there"), "was done already")
            elif lost and not job.cell.trained:
                waiting.remove(job)
                why = f"its stage {lost[0].name} failed"
                self._end(Outcome(job, "left out", why), f"LEFT OUT: {why}")

    def _fill(self, waiting: list[Job]) -> None:
        """Starts what can be started."""
        for slot in set(range(len(self.slots))) - self.running.keys():
            ready = next((job for job in waiting if self._ready(job)), None)
            if ready is not None:
                waiting.remove(ready)
                self._start(slot, ready)

    def _ready(self, job: Job) -> bool:
        mine = {running.cell.folder for running, _, _ in self.running.values()}
        staged = job.cell.trained or all(stage.cell.trained for stage in job.stages)
        if not staged or job.cell.folder in mine:
            return False
        return not self._held_elsewhere(job)

    def _held_elsewhere(self, job: Job) -> bool:
        try:
            with job.cell.lock():
                return False
        except BusyError:
            if job.record not in self.waits_for:
                self.waits_for.add(job.record)
                print(f"waiting for another process that is at work on {job.name} ({job.cell.folder})", flush=True)
            return True

    def _start(self, slot: int, job: Job) -> None:
        check_writable(job.cell.folder)
        job.cell.failure.unlink(missing_ok=True)
        command = [sys.executable, "-m", "llmrec.run", *self.arguments, *job.overrides, "hydra.mode=RUN"]
        process = self.begin(job, command, self.shared | dict(self.slots[slot]))
        self.running[slot] = job, process, time.monotonic()
        self._say(job, self.started)

    def _fail(self, job: Job, why: str) -> None:
        words = " ".join(["python -m llmrec.run", *self.arguments, *job.overrides])
        job.cell.failure.write_text(f"{words}\n{why}\n", encoding="utf-8")
        self._end(Outcome(job, "failed", why), f"FAILED: {_last_line(job.cell.folder / JOB_LOG)} ({why})")

    def _lost(self, stage: Job) -> bool:
        outcome = self.outcomes.get(stage.record)
        return outcome is not None and outcome.state in ("failed", "left out")

    def _end(self, outcome: Outcome, words: str) -> None:
        self.outcomes[outcome.job.record] = outcome
        self._say(outcome.job, words)

    def _say(self, job: Job, words: str) -> None:
        print(f"[{len(self.outcomes)}/{self.total}] {job.name}: {words}", flush=True)


def _with_stages(jobs: Sequence[Job]) -> list[Job]:
    """Each record once, before those that build upon its cell."""
    ordered: dict[Path, Job] = {}
    for job in jobs:
        if not job.cell.trained:
            missing = [stage for stage in job.stages if not stage.cell.trained]
            ordered |= {stage.record: stage for stage in _with_stages(missing) if stage.record not in ordered}
        ordered.setdefault(job.record, job)
    return list(ordered.values())


def _last_line(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = said.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
