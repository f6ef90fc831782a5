"""Shares of the machine for jobs that run at the same time, as environment variables."""

import os
from collections.abc import Sequence
from typing import Literal

from llmrec.errors import InputError

SHARING_JOBS = "LLMREC_SHARING_JOBS"
"""Environment variable with the number of jobs that share this process's device."""


def shared_slots(jobs: int) -> list[dict[str, str]]:
    """Returns slots that share the machine's cores, memory and GPU, if it has one.

    Args:
        jobs: Number of slots. The cores are divided among them as threads, unless OMP_NUM_THREADS sets the threads of
            a job.

    Raises:
        InputError: `jobs` is below 1.
    """
    if jobs < 1:
        raise InputError(f"launcher.jobs={jobs}: give how many jobs should run at a time, at least 1")
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    return [{"OMP_NUM_THREADS": threads, SHARING_JOBS: str(jobs)} for _ in range(jobs)]


def slots_on_gpus(gpus: Sequence[int] | Literal["all"], each: int, per_gpu: int = 1) -> list[dict[str, str]]:
    """Returns slots that have GPUs of their own, or share them.

    Args:
        gpus: Numbers of the GPUs, or "all" that this process may use.
        each: Number of GPUs per slot.
        per_gpu: Number of slots that share a GPU; each may use as large a share of its memory.

    Raises:
        InputError: There are too few GPUs for one job, or jobs with several GPUs would share them.
    """
    if per_gpu > 1 and each > 1:
        raise InputError(
            f"launcher.per_gpu={per_gpu} with trainer.devices={each}: only jobs with one GPU can share it. Set one of "
            "them to 1"
        )
    numbers = visible_gpus() if gpus == "all" else [str(number) for number in gpus]
    slots = [numbers[start : start + each] for start in range(0, len(numbers) - each + 1, each)]
    if not slots:
        raise InputError(
            f"launcher=gpus found {len(numbers)} GPUs, a job needs {each} (trainer.devices). Use launcher=local, or "
            "name the GPUs with launcher.gpus=[0,1]"
        )
    # The first jobs are spread over all GPUs.
    return [{"CUDA_VISIBLE_DEVICES": ",".join(slot), SHARING_JOBS: str(per_gpu)} for slot in slots * per_gpu]


def sharing_jobs() -> int:
    """Returns the number of jobs that share this process's device, itself included."""
    return int(os.environ.get(SHARING_JOBS, "1"))


def visible_gpus() -> list[str]:
    """Returns the GPUs that this process may use: their numbers, or their names in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [number for number in named.split(",") if number.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
