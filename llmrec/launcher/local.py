"""Hydra's launcher of a sweep on this machine: one process a job, on shared cores or on GPUs of its own."""

from collections.abc import Sequence
from typing import Literal

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.launcher.plan import Job, plan_job
from llmrec.launcher.pool import Outcome, Pool
from llmrec.launcher.slots import slots_on_cpu, slots_on_gpus
from llmrec.launcher.summary import print_summary, validation_score


class LocalLauncher(Launcher):
    """Plans the jobs of a sweep and runs them in a pool of processes.

    A process each, since ranks of a distributed training would otherwise replay the whole sweep, and a crash would
    take the sweep with it.
    """

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"

    def __init__(self, jobs: int, gpus: Sequence[int] | Literal["all"] | None, group: str | None) -> None:
        """See conf/launcher."""
        self.jobs, self.gpus, self.group = jobs, gpus, group

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra asks for."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs to their end; a job that failed comes back as failed, after all others have run."""
        setup_globals()
        group = self.group or " ".join(self.config.hydra.overrides.task)
        pool = Pool(self._slots(), _config_directories(self.config), group[:128])
        planned: list[Job | InputError] = [_plan(overrides) for overrides in job_overrides]
        outcomes = iter(pool.run([job for job in planned if isinstance(job, Job)]))
        ended = [next(outcomes) if isinstance(job, Job) else job for job in planned]
        print_summary(ended, job_overrides)
        return [_returned(end, overrides) for end, overrides in zip(ended, job_overrides, strict=True)]

    def _slots(self) -> list[dict[str, str]]:
        if self.gpus is None:
            return slots_on_cpu(self.jobs)
        return slots_on_gpus(self.gpus, self.config.trainer.devices)


def _plan(overrides: Sequence[str]) -> Job | InputError:
    try:
        return plan_job(overrides)
    except InputError as error:
        return error


def _config_directories(config: DictConfig) -> list[str]:
    sources = [source for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    return [part for source in sources for part in ("--config-dir", source.path)]


def _returned(end: Outcome | InputError, overrides: Sequence[str]) -> JobReturn:
    if isinstance(end, Outcome) and end.state in ("done", "there"):
        value = validation_score(end.job)
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=value)
    why = end.why if isinstance(end, Outcome) else str(end)
    # Of this kind Hydra shows the message and no traceback, and exits with status 1.
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=CompactHydraException(why))
