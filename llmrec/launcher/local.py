"""Hydra's launcher for a sweep on this machine: one process per job, on shared cores or on its own GPUs."""

from collections.abc import Sequence
from typing import Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from llmrec.launcher.planned import launch_planned, sweep_group
from llmrec.launcher.pool import Outcome, Pool
from llmrec.processes.slots import shared_slots, slots_on_gpus
from llmrec.training.plan import Job
from llmrec.training.stages import config_directories


class LocalLauncher(Launcher):
    """Plans the jobs of a sweep and runs them in a pool of processes.

    Each job has its own process, so that a crash does not end the sweep and the ranks of a distributed run do not
    repeat the sweep.
    """

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"

    def __init__(self, jobs: int, gpus: Sequence[int] | Literal["all"] | None, per_gpu: int, group: str | None) -> None:
        """See conf/launcher."""
        self.jobs, self.gpus, self.per_gpu, self.group = jobs, gpus, per_gpu, group

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes the sweep's config (Hydra's interface)."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs all jobs and returns their results; failed ones are marked as failed."""
        return launch_planned(job_overrides, self._run)

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        group = sweep_group(self.config, self.group)
        return Pool(self._slots(), config_directories(self.config), group).run(jobs)

    def _slots(self) -> list[dict[str, str]]:
        if self.gpus is None:
            return shared_slots(self.jobs)
        return slots_on_gpus(self.gpus, self.config.trainer.devices, self.per_gpu)
