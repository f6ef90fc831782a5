"""Detects whether SLURM or llmrec itself started the processes of a distributed run."""

import os

from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment


def slurm_tasks() -> int:
    """Returns the number of tasks of the SLURM job step, or 1 outside srun.

    Only srun sets SLURM_STEP_NUM_TASKS; a batch script has the other variables of SLURM too.
    """
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def slurm_environment() -> SLURMEnvironment:
    """Returns Lightning's SLURM environment without its requeueing: a requeued run resumes by itself."""
    return SLURMEnvironment(auto_requeue=False)


def cluster_environment() -> ClusterEnvironment:
    """Returns the environment for the Trainer, which would take any batch script for an srun job step."""
    return slurm_environment() if slurm_tasks() > 1 else LightningEnvironment()
