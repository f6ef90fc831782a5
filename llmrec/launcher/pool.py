"""Runs the jobs of a sweep, some at a time: stages first, what is done is left alone, what fails is named."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from llmrec.errors import BUSY, BusyError
from llmrec.processes.process import start_one_of_many, stop
from llmrec.training.plan import Job, names_apart
from llmrec.training.stages import PLANNED

JOB_LOG = "job.log"
COMMAND = "llmrec.run"


class Work(Protocol):
    """What `Pool.begin` gives of a job at work."""

    def poll(self) -> int | None:
        """Its exit status once it has ended."""


@dataclass(frozen=True)
class Running:
    """A job at work in a slot, since `started` by the monotonic clock; claim: keeps other sweeps off its cell."""

    job: Job
    work: Any
    started: float
    claim: ExitStack


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

    pause = 0.3
    """Seconds between two looks at what runs."""
    started = "started"
    """What is said of a job that has begun."""

    def __init__(self, slots: Sequence[Mapping[str, str]], arguments: Sequence[str], group: str) -> None:
        """arguments: before the overrides of every job, such as --config-dir; group: of the sweep's W&B runs."""
        self.slots, self.arguments = slots, arguments
        # The whole traceback goes to the job's log, and its last line says what happened.
        self.shared = {"WANDB_RUN_GROUP": group, "LLMREC_JOBS": str(len(slots)), "HYDRA_FULL_ERROR": "1"}
        self.running: dict[int, Running] = {}
        self.outcomes: dict[Path, Outcome] = {}
        self.waits_for: set[Path] = set()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs jobs and the stages that they need, and gives the outcome of each job in their order.

        An interruption stops what runs; the same jobs given again go on from there.
        """
        waiting = _with_stages(jobs)
        self.names = names_apart(waiting)
        try:
            while waiting or self.running:
                self._collect(waiting)
                self._settle(waiting)
                self._fill(waiting)
                time.sleep(self.pause)
        except BaseException:
            self.stop([running.work for running in self.running.values()])
            raise
        finally:
            for running in self.running.values():
                running.claim.close()
        return [self.outcomes[job.record] for job in jobs]

    def begin(self, job: Job, arguments: Sequence[str], environment: Mapping[str, str]) -> Work:
        """Starts a job's command, which leaves what it says in JOB_LOG of its cell."""
        return start_one_of_many(COMMAND, arguments, environment, job.cell.folder / JOB_LOG)

    def stop(self, works: Sequence[Any]) -> None:
        """Ends what `begin` gave."""
        stop(works)

    def whereabouts(self, job: Job, work: Work, status: int) -> str:
        """How a job failed, and where to read why."""
        changed = "" if status else "it left no record; has code, configuration or data changed meanwhile? "
        return f"{changed}exit status {status}; its output: {job.cell.folder / JOB_LOG}"

    def _collect(self, waiting: list[Job]) -> None:
        """Takes up what has ended; a job whose cell was taken by another process a moment before waits again."""
        for slot, running in list(self.running.items()):
            job, status = running.job, running.work.poll()
            if status is None:
                continue
            del self.running[slot]
            if status == BUSY:
                waiting.insert(0, job)
            elif status == 0 and job.done:
                self._end(Outcome(job, "done"), f"done in {time.monotonic() - running.started:.0f} s")
            else:
                self._fail(job, self.whereabouts(job, running.work, status))
            running.claim.close()

    def _settle(self, waiting: list[Job]) -> None:
        """Strikes out what is done already, perhaps meanwhile by another sweep, and what lost a stage."""
        for job in list(waiting):
            lost = [stage for stage in job.stages if self._lost(stage)]
            if job.done:
                waiting.remove(job)
                self._end(Outcome(job, "there"), "was done already")
            elif lost and not job.cell.trained:
                waiting.remove(job)
                why = f"its stage {self.names[lost[0].record]} failed"
                self._end(Outcome(job, "left out", why), f"LEFT OUT: {why}")

    def _fill(self, waiting: list[Job]) -> None:
        """Starts what can be started."""
        for slot in set(range(len(self.slots))) - self.running.keys():
            for job in waiting:
                claim = self._claim(job) if self._ready(job) else None
                if claim is not None:
                    waiting.remove(job)
                    self._start(slot, job, claim)
                    break

    def _ready(self, job: Job) -> bool:
        mine = {running.job.cell.folder for running in self.running.values()}
        staged = job.cell.trained or all(stage.cell.trained for stage in job.stages)
        return staged and job.cell.folder not in mine

    def _claim(self, job: Job) -> ExitStack | None:
        """Keeps other sweeps off a cell until it is closed; None where another process is at work there, or was."""
        try:
            with ExitStack() as claim:
                claim.enter_context(job.cell.claim())
                # One that belongs to no sweep.
                with job.cell.lock():
                    return None if job.done else claim.pop_all()
        except BusyError:
            if job.record not in self.waits_for:
                self.waits_for.add(job.record)
                where = f"{self.names[job.record]} ({job.cell.folder})"
                print(f"waiting for another process that is at work on {where}", flush=True)
            return None

    def _start(self, slot: int, job: Job, claim: ExitStack) -> None:
        job.cell.failure.unlink(missing_ok=True)
        arguments = [*self.arguments, *job.overrides, "hydra.mode=RUN"]
        work = self.begin(job, arguments, {**self.shared, **self.slots[slot], PLANNED: str(job.cell.folder)})
        self.running[slot] = Running(job, work, time.monotonic(), claim)
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
        print(f"[{len(self.outcomes)}/{len(self.names)}] {self.names[job.record]}: {words}", flush=True)


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
