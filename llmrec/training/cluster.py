"""Who started the processes of a distributed run."""

import os

from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment


def slurm_tasks() -> int:
    """Tasks of this job step; 1 outside of srun, where a batch script has SLURM's other variables too."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def slurm_environment() -> SLURMEnvironment:
    """What SLURM says of its tasks; a run that is requeued resumes by itself."""
    return SLURMEnvironment(auto_requeue=False)


def cluster_environment() -> ClusterEnvironment:
    """For Lightning, which would guess from variables that any batch script has."""
    return slurm_environment() if slurm_tasks() > 1 else LightningEnvironment()
