"""Runs the jobs of a sweep, several at a time: stages come first, and finished jobs are not run again."""

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from llmrec.errors import BUSY, BusyError
from llmrec.processes.fork_server import start_preloaded
from llmrec.processes.process import stop_processes
from llmrec.training.plan import Job, names_apart
from llmrec.training.run_folder import RunFolder
from llmrec.training.stages import PLANNED

JOB_LOG = "job.log"
COMMAND = "llmrec.run"


class Work(Protocol):
    """A running job, as `Pool.begin` returns it."""

    def poll(self) -> int | None:
        """Returns the exit status, or None while the job runs."""


@dataclass(frozen=True)
class Running:
    """A job that runs in a slot.

    Attributes:
        job: The job.
        work: What `Pool.begin` returned.
        started: When it was started, in seconds of the monotonic clock.
        claim: Keeps other sweeps out of the job's folder until it is closed.
    """

    job: Job
    work: Any
    started: float
    claim: ExitStack


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: The job.
        state: `there` if it was done before, `skipped` if a stage it depends on failed, `submitted` if it is left to a
            queue.
        reason: Why the job is not done; "" if it is.
    """

    job: Job
    state: Literal["done", "there", "failed", "skipped", "submitted"]
    reason: str = ""


class Pool:
    """Runs jobs as processes of this machine, one at a time in each slot.

    A subclass that runs them elsewhere overrides `begin`, `stop` and `describe_failure`.

    Args:
        slots: Environment variables of each slot.
        arguments: Arguments before the overrides of every job, such as --config-dir.
        group: Group of the sweep's W&B runs.
    """

    pause = 0.3
    """Seconds between two checks of the running jobs."""
    started = "started"
    """The word printed for a job that has begun."""

    def __init__(self, slots: Sequence[Mapping[str, str]], arguments: Sequence[str], group: str) -> None:
        self.slots, self.arguments = slots, arguments
        # With HYDRA_FULL_ERROR the whole traceback goes to the job's log, whose last line is printed on failure.
        self.shared = {"WANDB_RUN_GROUP": group, "LLMREC_JOBS": str(len(slots)), "HYDRA_FULL_ERROR": "1"}
        self.running: dict[int, Running] = {}
        self.outcomes: dict[Path, Outcome] = {}
        self.waits_for: set[Path] = set()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs jobs and the stages that they depend on, and returns the jobs' outcomes in the same order.

        An interruption stops the running jobs; the same jobs resume when they are given again.
        """
        waiting = with_stages(jobs)
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
        """Starts a job's command; its output goes to JOB_LOG in the job's folder."""
        return start_preloaded(COMMAND, arguments, environment, job.run.folder / JOB_LOG)

    def stop(self, works: Sequence[Any]) -> None:
        """Ends jobs that `begin` started."""
        stop_processes(works)

    def describe_failure(self, job: Job, work: Work, status: int) -> str:
        """Returns the exit status of a failed job and the file that shows why."""
        changed = "" if status else "the record is missing (did code, configuration or data change meanwhile?); "
        return f"{changed}exit status {status}; its output: {job.run.folder / JOB_LOG}"

    def _collect(self, waiting: list[Job]) -> None:
        """Records the jobs that have ended. A job that found its folder locked by another process waits again."""
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
                self._fail(job, self.describe_failure(job, running.work, status))
            running.claim.close()

    def _settle(self, waiting: list[Job]) -> None:
        """Removes jobs that are done, perhaps by another sweep, and jobs that depend on a failed stage."""
        for job in list(waiting):
            failed = [stage for stage in job.needed if self._has_failed(stage)]
            if job.done:
                waiting.remove(job)
                self._end(Outcome(job, "there"), "was done already")
            elif failed:
                waiting.remove(job)
                reason = f"its stage {self.names[failed[0].record]} failed"
                self._end(Outcome(job, "skipped", reason), f"SKIPPED: {reason}")

    def _fill(self, waiting: list[Job]) -> None:
        """Starts a waiting job in each free slot."""
        for slot in set(range(len(self.slots))) - self.running.keys():
            for job in waiting:
                claim = self._claim(job) if self._ready(job) else None
                if claim is not None:
                    waiting.remove(job)
                    self._start(slot, job, claim)
                    break

    def _ready(self, job: Job) -> bool:
        busy_folders = {running.job.run.folder for running in self.running.values()}
        has_stages = all(stage.run.trained for stage in job.needed)
        return has_stages and job.run.folder not in busy_folders

    def _claim(self, job: Job) -> ExitStack | None:
        """Returns a claim on the job's folder; None when another process works there, or has finished the job."""
        try:
            with ExitStack() as claim:
                claim.enter_context(job.run.claim())
                # A run that belongs to no sweep holds only this lock.
                with job.run.lock():
                    return None if job.done else claim.pop_all()
        except BusyError:
            if job.record not in self.waits_for:
                self.waits_for.add(job.record)
                name = f"{self.names[job.record]} ({job.run.folder})"
                print(f"waiting for another process that works on {name}", flush=True)
            return None

    def _start(self, slot: int, job: Job, claim: ExitStack) -> None:
        job.run.failure.unlink(missing_ok=True)
        arguments = [*self.arguments, *job.overrides, "hydra.mode=RUN"]
        work = self.begin(job, arguments, {**self.shared, **self.slots[slot], PLANNED: str(job.run.folder)})
        self.running[slot] = Running(job, work, time.monotonic(), claim)
        self._print(job, self.started)

    def _fail(self, job: Job, reason: str) -> None:
        why = mark_failed(job.run, [*self.arguments, *job.overrides], job.run.folder / JOB_LOG, reason)
        self._end(Outcome(job, "failed", reason), f"FAILED: {why}")

    def _has_failed(self, stage: Job) -> bool:
        outcome = self.outcomes.get(stage.record)
        return outcome is not None and outcome.state in ("failed", "skipped")

    def _end(self, outcome: Outcome, message: str) -> None:
        self.outcomes[outcome.job.record] = outcome
        self._print(outcome.job, message)

    def _print(self, job: Job, message: str) -> None:
        print(f"[{len(self.outcomes)}/{len(self.names)}] {self.names[job.record]}: {message}", flush=True)


def with_stages(jobs: Sequence[Job]) -> list[Job]:
    """Returns each job once, with the stages that are missing before the jobs that depend on them."""
    ordered: dict[Path, Job] = {}
    for job in jobs:
        missing = [] if job.done else [stage for stage in job.needed if not stage.run.trained]
        ordered |= {stage.record: stage for stage in with_stages(missing) if stage.record not in ordered}
        ordered.setdefault(job.record, job)
    return list(ordered.values())


def mark_failed(run: RunFolder, arguments: Sequence[str], log: Path, reason: str) -> str:
    """Writes the command of a failed job and why it failed to its run's folder; returns the latter."""
    why = f"{_last_line(log)} ({reason})"
    run.failure.write_text(f"python -m {COMMAND} {shlex.join(arguments)}\n{why}\n", encoding="utf-8")
    return why


def _last_line(log: Path) -> str:
    """Returns the error message at the end of a job's output, or its last line if there is none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    _, prefix, message = text.rpartition("llmrec: ")
    if prefix and "Traceback" not in message:
        # A progress bar may be drawn again after the message.
        return prefix + message.splitlines()[0]
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"
