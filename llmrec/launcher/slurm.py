"""Hydra's launcher for a sweep on a SLURM cluster: one submitit job per run, one task per device."""

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
from llmrec.launcher.planned import launch_planned, refuse_search, sweep_group
from llmrec.launcher.pool import COMMAND, JOB_LOG, Outcome, Pool
from llmrec.processes.process import start_process
from llmrec.training.plan import Job
from llmrec.training.run_folder import CHECKPOINTS, LAST, METRICS, TRAINING
from llmrec.training.stages import config_directories

if TYPE_CHECKING:
    import submitit


SAVE_TIMEOUT_S = 60
"""Time for a step and its checkpoint at the end of a job: half of the time that SLURM warns of its end."""
SAVED_BEFORE_S = 5
"""Age of a checkpoint that is taken for the one that the signal asked for."""
RECORD_TIMEOUT_S = 60
"""Time after the end of a job in which a shared file system must show its record."""


class SlurmLauncher(Launcher):
    """Plans the jobs of a sweep, submits them, stages first, and waits until all have ended, unless told not to."""

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"

    def __init__(self, jobs: int, group: str | None, wait: bool, submitit_folder: str, **queue: Any) -> None:
        """See conf/launcher/slurm.yaml; `submitit_folder` and `queue` are those of hydra-submitit-launcher."""
        self.jobs, self.group, self.wait, self.folder, self.queue = jobs, group, wait, submitit_folder, queue

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes the sweep's config (Hydra's interface)."""
        if not self.wait:
            refuse_search(config)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs all jobs and returns their results; failed ones are marked as failed."""
        return launch_planned(job_overrides, self._run)

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        if self.jobs < 1:
            raise InputError(f"launcher.jobs={self.jobs}: give how many jobs should be queued at a time, at least 1")
        threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(self.queue["cpus_per_task"])}
        executor = open_executor(self.folder, {**self.queue, "array_parallelism": self.jobs})
        group = sweep_group(self.config, self.group)
        return self._pool()(executor, [threads] * self.jobs, config_directories(self.config), group).run(jobs)

    def _pool(self) -> "type[SlurmPool]":
        if self.wait:
            return SlurmPool
        # It imports this module.
        from llmrec.launcher.unattended import UnattendedPool

        return UnattendedPool


@dataclass(frozen=True)
class Task:
    """A task of a SLURM job: `python -m llmrec.run arguments`.

    The first task's output goes to job.log, that of the others to rank-<n>.log.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path

    def __call__(self) -> int:
        """Runs the command and returns its exit status, 0 or BUSY.

        Raises:
            RuntimeError: The command failed.
        """
        # SLURM signals every process of a job when its time is over. submitit handles the signal and may requeue the
        # job; a command that ended at the signal would fail it.
        with _ignored(signal.SIGUSR2, signal.SIGTERM):
            process = start_process(COMMAND, self.arguments, self.environment, self.log, signal.SIGKILL)
        status = process.wait()
        if status not in (0, BUSY):
            raise RuntimeError(f"exit status {status}; its output: {self.log}")
        return status

    @property
    def log(self) -> Path:
        """The file of the output of the task that this process runs."""
        number = int(os.environ["SLURM_PROCID"])
        return self.folder / (f"rank-{number}.log" if number else JOB_LOG)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Returns the task of a requeued job: the same, since an interrupted run resumes by itself.

        The job ends after this, so it waits for the checkpoint that a run in training saves at the same signal.
        """
        import submitit

        self._wait_for_checkpoint(time.time())
        return submitit.helpers.DelayedSubmission(self)

    def _wait_for_checkpoint(self, signalled: float) -> None:
        last = self.folder / CHECKPOINTS / LAST
        while time.time() < signalled + SAVE_TIMEOUT_S and self._is_training():
            # It may have been saved shortly before submitit handles the signal.
            if last.exists() and last.stat().st_mtime > signalled - SAVED_BEFORE_S:
                return
            time.sleep(0.1)

    def _is_training(self) -> bool:
        return (self.folder / "curves.csv").exists() and not (self.folder / TRAINING).exists()


@dataclass
class Submitted:
    """A job that waits in SLURM's queue or runs.

    Attributes:
        task: What it runs.
        record: The file that it writes at its end.
        job: submitit's job, once it is in the queue.
        failure: Its exception, once it has failed.
        ended: When it ended, in seconds of the monotonic clock, once it has ended.
    """

    task: Task
    record: Path
    job: "submitit.Job[int] | None" = None
    failure: Exception | None = None
    ended: float | None = None

    def poll(self) -> int | None:
        """Returns the exit status of the first task, 1 for any failure, or None while it runs."""
        assert self.job is not None
        first = self.job.task(0)
        if not first.done():
            return None
        self.failure = first.exception()
        if self.failure is not None:
            return 1
        self.ended = self.ended or time.monotonic()
        status = first.result()
        # A shared file system may show the record seconds later.
        shown = status == BUSY or self.record.is_file() or time.monotonic() > self.ended + RECORD_TIMEOUT_S
        return status if shown else None


class SlurmPool(Pool):
    """Runs jobs on a SLURM cluster, at most as many at a time as there are slots.

    Args:
        executor: Submits tasks.
        slots: See `Pool`.
        arguments: See `Pool`.
        group: See `Pool`.
    """

    pause = 1.0
    started = "submitted"

    def __init__(
        self,
        executor: "submitit.Executor",
        slots: Sequence[Mapping[str, str]],
        arguments: Sequence[str],
        group: str,
    ) -> None:
        super().__init__(slots, arguments, group)
        self.executor = executor
        self.begun: list[Submitted] = []
        self.refused_after: int | None = None

    def begin(self, job: Job, arguments: Sequence[str], environment: Mapping[str, str]) -> Submitted:
        """Adds a job to the next submission."""
        task = Task(arguments, environment, job.run.folder.absolute())
        self.begun.append(Submitted(task, job.record / METRICS))
        return self.begun[-1]

    def stop(self, works: Sequence[Submitted]) -> None:
        """Cancels jobs."""
        for submitted in works:
            if submitted.job is not None:
                submitted.job.cancel(check=False)

    def describe_failure(self, job: Job, work: Any, status: int) -> str:
        """Returns how a job failed and the files that show why: its command's output, and SLURM's."""
        from submitit.core.utils import FailedJobError

        ended = "" if isinstance(work.failure, FailedJobError) else f" ended as {work.job.state}"
        logs = f"its output: {job.run.folder / JOB_LOG}; SLURM's: {work.job.task(0).paths.stdout}"
        return f"SLURM job {work.job.job_id}{ended}; {logs}"

    def _fill(self, waiting: list[Job]) -> None:
        """Submits the jobs that can start, as one array."""
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
        """Returns jobs that sbatch refused to the waiting ones: the queue may allow only so many at a time."""
        for slot, running in list(self.running.items()):
            if running.work in new:
                del self.running[slot]
                running.claim.close()
                waiting.append(running.job)
        self.refused_after = len(self.outcomes)
        message = f"sbatch took none of {len(new)} jobs, see conf/launcher/slurm.yaml: {error}"
        if not self.running:
            raise InputError(message) from error
        print(f"{message}; tried again once one of the {len(self.running)} in the queue has ended", flush=True)


def open_executor(folder: str, queue: Mapping[str, Any]) -> "submitit.Executor":
    """Returns an executor that submits to SLURM.

    Args:
        folder: Takes submitit's files.
        queue: The settings of hydra-submitit-launcher.

    Raises:
        InputError: submitit or SLURM is missing.
    """
    try:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    except ImportError as error:
        raise InputError("launcher=slurm needs submitit: pip install 'llmrec[slurm]'") from error
    if shutil.which("sbatch") is None:
        raise InputError("launcher=slurm found no sbatch: start it on a host with SLURM, or use launcher=local")
    # submitit prefixes the settings that only SLURM has.
    common = {field.name for field in fields(BaseQueueConf)}
    named = {name if name in common else f"slurm_{name}": value for name, value in queue.items()}
    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=named.pop("slurm_max_num_timeout"))
    # A job that waits for one that failed would otherwise stay in the queue.
    options = {"kill-on-invalid-dep": "yes", **named.pop("slurm_additional_parameters")}
    executor.update_parameters(**named, slurm_additional_parameters=options)
    return executor


@contextmanager
def _ignored(*signals: signal.Signals) -> Iterator[None]:
    """Makes processes that are started within the context ignore signals."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
