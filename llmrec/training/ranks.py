"""Distributed runs: the ranks are processes that the coordinator starts, or tasks that SLURM has started.

Only the coordinator, which holds the lock of the run's folder, plans the work and checks what is done already.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch import distributed

from llmrec.backbones.device import run_device
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.processes.fork_server import start_preloaded
from llmrec.processes.process import Process, stop_processes
from llmrec.training.cluster import slurm_environment, slurm_tasks
from llmrec.training.quiet import silence_libraries
from llmrec.training.run_folder import is_baseline
from llmrec.training.work import Work, do_work

RANK_TIMEOUT = timedelta(days=7)
"""Long, because ranks may wait for rank 0 for hours; a rank that dies ends the others without this timeout."""
START_TIMEOUT = timedelta(minutes=10)
"""SLURM starts all tasks at about the same time: a coordinator that cannot be reached by then has already exited."""
FAILURE_GRACE_S = 5
"""Time for the other ranks to exit by themselves after one has failed."""
WORK, HEARD = "work", "heard"
"""Keys of SLURM's store: the coordinator's work, and the number of tasks that have read it."""


def run_on_ranks(work: Work, dataset: Dataset, tasks: distributed.Store | None) -> None:
    """Does the work with as many ranks as the config asks for; with one, in this process.

    Args:
        work: What there is to do.
        dataset: The opened dataset of the work.
        tasks: The store that `coordinator` yields.

    Raises:
        SystemExit: A rank failed; with its status.
    """
    ranks = ranks_of(work.config)
    if ranks == 1:
        do_work(work, dataset)
    elif tasks is None:
        _by_processes(work, ranks)
    else:
        _publish(tasks, work.to_json())
        with process_group(work.config, 0, ranks, 0, tasks):
            do_work(work, dataset)


def ranks_of(config: DictConfig) -> int:
    """Returns the world size of a run.

    Raises:
        InputError: The number of devices or the strategy cannot be used.
    """
    devices, strategy = config.trainer.devices, config.trainer.strategy
    if type(devices) is not int or devices < 1:
        raise InputError(f"trainer.devices={devices}: give the number of processes, a whole number of at least 1")
    gpus = torch.cuda.device_count() if config.trainer.accelerator != "cpu" else 0
    if gpus and devices > gpus:
        raise InputError(f"trainer.devices={devices}, but only {gpus} GPUs are visible. Set it to at most {gpus}")
    if strategy not in ("auto", "ddp", "fsdp"):
        raise InputError(f"trainer.strategy={strategy}: choose auto, ddp or fsdp (trainer=single, ddp, fsdp)")
    ranks = 1 if is_baseline(config) else devices
    if ranks != slurm_tasks() and ranks > 1 and slurm_tasks() > 1:
        raise InputError(
            f"trainer.devices={ranks}, but SLURM started {slurm_tasks()} tasks. Request one task per device "
            "(--ntasks-per-node), or use launcher=slurm, which does"
        )
    return ranks


@contextmanager
def coordinator() -> Iterator[distributed.Store | None]:
    """Makes SLURM's first task the coordinator of the others, which call `follow_coordinator`.

    Yields:
        The store that passes the work to the other tasks; None outside SLURM.
    """
    if slurm_tasks() == 1:
        yield None
        return
    store = _store(slurm_environment())
    try:
        yield store
    finally:
        if not store.check([WORK]):
            _publish(store, "")


def follow_coordinator() -> None:
    """Waits for the coordinator and does this SLURM task's part of the work, if there is any."""
    environment = slurm_environment()
    store = _store(environment)
    text = store.get(WORK).decode()
    store.add(HEARD, 1)
    if text:
        ranks = environment.world_size()
        run_worker(Work.from_json(text), environment.global_rank(), ranks, environment.local_rank(), store)


def run_worker(work: Work, rank: int, ranks: int, device: int, store: distributed.Store) -> None:
    """Does a rank's part of the work; only rank 0 prints progress.

    Args:
        work: What there is to do.
        rank: This process's rank.
        ranks: World size.
        device: Index of this rank's GPU, where the run computes on GPUs.
        store: Store by which the ranks find each other.
    """
    silence_libraries()
    level = logging.WARNING if rank else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stdout, force=True)
    work.config.trainer.progress = work.config.trainer.progress and rank == 0
    try:
        with process_group(work.config, rank, ranks, device, store):
            do_work(work)
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        # A normal exit would wait for other ranks, which may still be in a collective operation.
        sys.stderr.flush()
        os._exit(2)


def _publish(tasks: distributed.Store, text: str) -> None:
    """Passes the work, or an empty text for none, to SLURM's other tasks."""
    tasks.set(WORK, text)
    # The store ends with this process, so all tasks must have read it before.
    while tasks.add(HEARD, 0) < slurm_tasks() - 1:
        time.sleep(0.01)


def _store(environment: SLURMEnvironment) -> distributed.TCPStore:
    store = distributed.TCPStore(
        environment.main_address, environment.main_port, environment.world_size(),
        is_master=environment.global_rank() == 0, timeout=START_TIMEOUT, wait_for_workers=False,
    )  # fmt: skip
    store.set_timeout(RANK_TIMEOUT)
    return store


@contextmanager
def process_group(config: DictConfig, rank: int, ranks: int, device: int, store: distributed.Store) -> Iterator[None]:
    """Initializes torch's process group and destroys it at the end of the context.

    Args:
        config: The run's config.
        rank: This process's rank.
        ranks: World size.
        device: Index of this rank's GPU, where the run computes on GPUs.
        store: Store by which the ranks find each other.
    """
    backend = "gloo"
    if run_device(config.trainer).type == "cuda":
        torch.cuda.set_device(device)
        backend = "nccl"
    distributed.init_process_group(
        backend, store=distributed.PrefixStore("ranks", store), rank=rank, world_size=ranks, timeout=RANK_TIMEOUT
    )
    yield
    distributed.destroy_process_group()


def _by_processes(work: Work, ranks: int) -> None:
    """Starts one process per rank; all but rank 0 print to rank-<n>.log."""
    # This process owns the store because it outlives the ranks, and because a port that is only looked up as free may
    # be taken before a rank binds it.
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=RANK_TIMEOUT)
    job = work.run.folder / "ranks.json"
    job.write_text(work.to_json(), encoding="utf-8")
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    shared = {
        "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
        "OMP_NUM_THREADS": str(max(1, threads // ranks)),
    }  # fmt: skip
    started: list[Process] = []
    try:
        for rank in range(ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
            # A rank that outlived this process, which holds the lock, could write into a folder that another process
            # has locked since.
            started.append(
                start_preloaded("llmrec.training.rank", [str(job)], shared | own, _log(work, rank), signal.SIGKILL)
            )
        _wait(started, work)
    finally:
        stop_processes(started)
        job.unlink(missing_ok=True)


def _log(work: Work, rank: int) -> Path | None:
    return work.run.folder / f"rank-{rank}.log" if rank else None


def _wait(ranks: Sequence[Process], work: Work) -> None:
    while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
        time.sleep(0.05)
    failed = [number for number, rank in enumerate(ranks) if rank.poll()]
    if not failed:
        return
    # Ranks that fail later fail as a consequence, so they are not reported.
    until = time.monotonic() + FAILURE_GRACE_S
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < until:
        time.sleep(0.05)
    for number in failed:
        if number:
            print(f"rank {number} failed with status {ranks[number].poll()}: see {_log(work, number)}")
    raise SystemExit(abs(ranks[failed[0]].poll() or 1))
