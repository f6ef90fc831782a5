"""Hydra's launcher behind `llmrec.plan`: prints the commands of a sweep and what each waits for, and runs nothing."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from llmrec.launcher.planned import plain_errors, refuse_search
from llmrec.launcher.pool import COMMAND, with_stages
from llmrec.training.plan import Job, plan_job
from llmrec.training.stages import config_directories


class PlanLauncher(Launcher):
    """Plans the jobs of a sweep and prints those that are not done, stages first."""

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"

    def __init__(self, ready: bool) -> None:
        """See conf/hydra/launcher/plan.yaml."""
        self.ready = ready

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes the sweep's config (Hydra's interface)."""
        refuse_search(config)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Prints the jobs; returns results without values."""
        setup_globals()
        with plain_errors():
            jobs = [plan_job(overrides, with_classes=True) for overrides in job_overrides]
        self._print([job for job in with_stages(jobs) if not job.done])
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def _print(self, missing: Sequence[Job]) -> None:
        """Prints a line a job: number, numbers of the jobs that it waits for, command; or ready commands only."""
        waits = waits_for(missing)
        for number, job in enumerate(missing, 1):
            arguments = [*config_directories(self.config), *job.overrides, "hydra.mode=RUN"]
            command = f"python -m {COMMAND} {shlex.join(arguments)}"
            if not self.ready:
                print(number, ",".join(map(str, waits[number])) or "-", command, sep="\t")
            elif not waits[number]:
                print(command)
        print(f"{len(missing)} runs are missing", file=sys.stderr)


def waits_for(jobs: Sequence[Job]) -> dict[int, list[int]]:
    """Returns for each job, numbered from 1, the numbers of those that must have ended before it starts.

    A job waits for its stages, and for the job before it that works in the same run's folder.

    Args:
        jobs: Stages come before the jobs that depend on them.
    """
    number_of: dict[Path, int] = {}
    waits = {}
    for number, job in enumerate(jobs, 1):
        folders = [job.run.folder, *(stage.run.folder for stage in job.needed if not stage.run.trained)]
        waits[number] = sorted({number_of[folder] for folder in folders if folder in number_of})
        number_of[job.run.folder] = number
    return waits
