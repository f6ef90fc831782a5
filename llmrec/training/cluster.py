"""Finds the place of this process among the ranks that a launcher such as torchrun or srun has started.

Imports no heavy packages, because commands ask for it before they read their arguments.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from llmrec.errors import InputError

if TYPE_CHECKING:
    from pytorch_lightning.plugins.environments import ClusterEnvironment

STANDARD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables of torch.distributed, which torchrun and most launchers set."""


@dataclass(frozen=True)
class LaunchedRank:
    """A process that a launcher has started as one of several.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes on all nodes.
        local_rank: Number of this process on its node, which is the index of its GPU.
        address: Host of rank 0.
        port: Port of the store by which the ranks find each other.
        hosts_store: Whether this process opens the store. torchrun opens it itself.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str
    port: int
    hosts_store: bool

    def export(self) -> None:
        """Sets the standard variables, which srun does not set and libraries read."""
        values = (self.rank, self.world_size, self.local_rank, self.address, self.port)
        os.environ.update(zip(STANDARD, map(str, values), strict=True))


def launched_rank() -> LaunchedRank | None:
    """Returns this process's place among several that were started together, or None if it was started alone.

    The standard variables decide; SLURM's own replace those that are absent.

    Raises:
        InputError: A variable is missing or is no number.
    """
    variables = _slurm_variables() | {name: os.environ[name] for name in STANDARD if name in os.environ}
    if variables.get("WORLD_SIZE", "1") == "1":
        return None
    missing = [name for name in STANDARD if name not in variables]
    if missing:
        raise InputError(
            f"WORLD_SIZE={variables['WORLD_SIZE']}, but {', '.join(missing)} is not set. The launcher must set "
            f"{', '.join(STANDARD)} (torchrun does); unset WORLD_SIZE to start one process"
        )
    numbers = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
    for name in numbers:
        if not variables[name].isdecimal():
            raise InputError(f"{name}={variables[name]} in the environment: expected a whole number")
    rank, size, local_rank, port = (int(variables[name]) for name in numbers)
    hosts_store = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return LaunchedRank(rank, size, local_rank, variables["MASTER_ADDR"], port, hosts_store)


def _slurm_variables() -> dict[str, str]:
    """Returns the standard variables of a task of a SLURM job step.

    Only srun sets SLURM_STEP_NUM_TASKS; a batch script has the other variables of SLURM too.
    """
    environment = os.environ
    if environment.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return {}
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "MASTER_ADDR": SLURMEnvironment.resolve_root_node_address(environment["SLURM_STEP_NODELIST"]),
        # All tasks derive the same port, and jobs that share a node derive different ones.
        "MASTER_PORT": str(15_000 + int(environment["SLURM_JOB_ID"]) % 10_000),
    }


def world_size(trainer: DictConfig) -> int:
    """Returns the number of processes that a config asks for: nodes times devices per node."""
    # Runs from before trainer.nodes have no such setting.
    ranks: int = trainer.get("nodes", 1) * trainer.devices
    return ranks


def cluster_environment() -> "ClusterEnvironment":
    """Returns the environment for Lightning's Trainer, which would take any batch script for an srun job step."""
    from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from torch import distributed

    # Despite its name, TorchElasticEnvironment only reads the standard variables.
    return TorchElasticEnvironment() if distributed.is_initialized() else LightningEnvironment()
