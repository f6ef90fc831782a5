"""Hydra's launcher of a sweep on a SLURM cluster: a job of submitit a cell, one task a device."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from llmrec.errors import BUSY, InputError
from llmrec.launcher.planned import launch_planned, sweep_group
from llmrec.launcher.pool import COMMAND, JOB_LOG, Outcome, Pool
from llmrec.processes.process import start
from llmrec.training.cells import METRICS
from llmrec.training.plan import Job
from llmrec.training.stages import config_directories

if TYPE_CHECKING:
    import submitit


PATIENCE = 60
"""Seconds that a shared file system gets to show the record of a job that has ended."""


class SlurmLauncher(Launcher):
    """Plans the jobs of a sweep, submits them, stages first, and stays until the last one has ended."""

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"

    def __init__(self, jobs: int, group: str | None, submitit_folder: str, **queue: Any) -> None:
        """See conf/launcher/slurm.yaml; submitit_folder, queue: as hydra-submitit-launcher has them."""
        self.jobs, self.group, self.folder, self.queue = jobs, group, submitit_folder, queue

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra asks for."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs to their end; a job that failed comes back as failed, after all others have run."""
        return launch_planned(job_overrides, self._run)

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        if self.jobs < 1:
            raise InputError(f"launcher.jobs={self.jobs}: give how many jobs should be queued at a time, at least 1")
        threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(self.queue["cpus_per_task"])}
        executor = open_executor(self.folder, {**self.queue, "array_parallelism": self.jobs})
        group = sweep_group(self.config, self.group)
        return SlurmPool(executor, [threads] * self.jobs, config_directories(self.config), group).run(jobs)


@dataclass(frozen=True)
class Task:
    """What each task of a SLURM job does: `python -m llmrec.run arguments`.

    Its output goes to job.log, of later tasks to rank-<n>.log.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path

    def __call__(self) -> int:
        """The command's exit status, 0 or BUSY. Raises RuntimeError for another."""
        number = int(os.environ["SLURM_PROCID"])
        log = self.folder / (f"rank-{number}.log" if number else JOB_LOG)
        # SLURM tells every process of a job that its time is over. submitit answers, and may have it begin once more;
        # were the command to end at that, the job would have failed.
        with _ignored(signal.SIGUSR2, signal.SIGTERM):
            process = start(COMMAND, self.arguments, self.environment, log, ends_by=signal.SIGKILL)
        status = process.wait()
        if status not in (0, BUSY):
            raise RuntimeError(f"exit status {status}; its output: {log}")
        return status

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What a job that is put back into the queue does: the same, for an interrupted cell goes on by itself."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass
class Submitted:
    """A job in SLURM's queue or at work.

    record: the file that it leaves; job: once it is in the queue; failure: once it has failed; ended: when that was,
    by the monotonic clock.
    """

    task: Task
    record: Path
    job: "submitit.Job[int] | None" = None
    failure: Exception | None = None
    ended: float | None = None

    def poll(self) -> int | None:
        """The exit status of the first task, which speaks for all, once it has ended; 1 for whatever failed."""
        assert self.job is not None
        first = self.job.task(0)
        if not first.done():
            return None
        self.failure = first.exception()
        if self.failure is not None:
            return 1
        self.ended = self.ended or time.monotonic()
        status = first.result()
        # A shared file system may show it seconds later.
        shown = status == BUSY or self.record.is_file() or time.monotonic() > self.ended + PATIENCE
        return status if shown else None


class SlurmPool(Pool):
    """Runs jobs on a SLURM cluster, as many at a time as there are slots."""

    pause = 1.0
    started = "submitted"

    def __init__(
        self,
        executor: "submitit.Executor",
        slots: Sequence[Mapping[str, str]],
        arguments: Sequence[str],
        group: str,
    ) -> None:
        """executor: submits tasks; others: see Pool."""
        super().__init__(slots, arguments, group)
        self.executor = executor
        self.begun: list[Submitted] = []
        self.refused_after: int | None = None

    def begin(self, job: Job, arguments: Sequence[str], environment: Mapping[str, str]) -> Submitted:
        """Puts a job among those that are submitted next."""
        task = Task(arguments, environment, job.cell.folder.absolute())
        self.begun.append(Submitted(task, job.record / METRICS))
        return self.begun[-1]

    def stop(self, works: Sequence[Submitted]) -> None:
        """Takes jobs out of the queue, or ends them."""
        for submitted in works:
            if submitted.job is not None:
                submitted.job.cancel(check=False)

    def whereabouts(self, job: Job, work: Any, status: int) -> str:
        """How a job failed, and where to read why: what its command printed, and what SLURM said."""
        from submitit.core.utils import FailedJobError

        ended = "" if isinstance(work.failure, FailedJobError) else f" ended as {work.job.state}"
        logs = f"its output: {job.cell.folder / JOB_LOG}; SLURM's: {work.job.task(0).paths.stdout}"
        return f"SLURM job {work.job.job_id}{ended}; {logs}"

    def _fill(self, waiting: list[Job]) -> None:
        """Submits whatever can be started, as one array."""
        from submitit.core.utils import FailedJobError

        if self.running and self.refused_after == len(self.outcomes):
            return
        super()._fill(waiting)
        new, self.begun = self.begun, []
        if not new:
            return
        try:
            jobs = self.executor.submit_array([submitted.task for submitted in new])
        except FailedJobError as error:
            self._take_back(new, waiting, error)
            return
        for submitted, job in zip(new, jobs, strict=True):
            submitted.job = job

    def _take_back(self, new: Sequence[Submitted], waiting: list[Job], error: Exception) -> None:
        """Has jobs that sbatch refused wait for those in the queue; perhaps no more are allowed at a time."""
        for slot, running in list(self.running.items()):
            if running.work in new:
                del self.running[slot]
                running.claim.close()
                waiting.append(running.job)
        self.refused_after = len(self.outcomes)
        words = f"sbatch took none of {len(new)} jobs, see conf/launcher/slurm.yaml: {error}"
        if not self.running:
            raise InputError(words) from error
        print(f"{words}; tried again once one of the {len(self.running)} in the queue has ended", flush=True)


def open_executor(folder: str, queue: Mapping[str, Any]) -> "submitit.Executor":
    """What submits to SLURM; folder: takes what submitit writes; queue: as of hydra-submitit-launcher.

    Raises InputError where submitit or SLURM is missing.
    """
    try:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    except ImportError as error:
        raise InputError("launcher=slurm needs submitit: pip install 'llmrec[slurm]'") from error
    if shutil.which("sbatch") is None:
        raise InputError("launcher=slurm found no sbatch: start it where SLURM is, or take launcher=local")
    # What only SLURM has bears its name.
    common = {field.name for field in fields(BaseQueueConf)}
    named = {name if name in common else f"slurm_{name}": value for name, value in queue.items()}
    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=named.pop("slurm_max_num_timeout"))
    executor.update_parameters(**named)
    return executor


@contextmanager
def _ignored(*signals: signal.Signals) -> Iterator[None]:
    """What is started within it ignores signals."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
