"""The ranks of a distributed run: processes that the holder of the cell's lock starts, or tasks that SLURM started.

They are told what to do and decide nothing: no rank plans, locks or looks whether a cell is done.
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
from llmrec.processes.process import Process, start_one_of_many, stop
from llmrec.training.cells import is_baseline
from llmrec.training.cluster import slurm_environment, slurm_tasks
from llmrec.training.quiet import quiet
from llmrec.training.work import Work, do_work

PATIENCE = timedelta(days=7)
"""A rank may wait long for another; one that died takes the others with it at once."""
ARRIVAL = timedelta(minutes=10)
"""SLURM starts all tasks at about the same time: a first one that is late has ended before it could lead."""
LAST_WORDS = 5
"""Seconds that the other ranks get to end by themselves after one has failed."""
WORK, HEARD = "work", "heard"


def carry_out(work: Work, dataset: Dataset, tasks: distributed.Store | None) -> None:
    """Has the work done by as many ranks as the config asks for, this process where one is enough.

    tasks: as `leading` gives it. Raises SystemExit with its status when a rank fails.
    """
    ranks = ranks_of(work.config)
    if ranks == 1:
        do_work(work, dataset)
    elif tasks is None:
        _by_processes(work, ranks)
    else:
        _tell(tasks, work.to_json())
        with group(work.config, 0, ranks, 0, tasks):
            do_work(work, dataset)


def ranks_of(config: DictConfig) -> int:
    """How many processes train a run. Raises InputError for a number that cannot be, or an unknown strategy."""
    devices, strategy = config.trainer.devices, config.trainer.strategy
    if type(devices) is not int or devices < 1:
        raise InputError(f"trainer.devices={devices}: give the number of processes, a whole number of at least 1")
    there = torch.cuda.device_count() if config.trainer.accelerator != "cpu" else 0
    if there and devices > there:
        raise InputError(f"trainer.devices={devices}, but this machine has {there} GPUs that may be used")
    if strategy not in ("auto", "ddp", "fsdp"):
        raise InputError(f"trainer.strategy={strategy}: choose auto, ddp or fsdp (trainer=single, ddp, fsdp)")
    ranks = 1 if is_baseline(config) else devices
    if ranks != slurm_tasks() and ranks > 1 and slurm_tasks() > 1:
        raise InputError(
            f"trainer.devices={ranks}, but SLURM started {slurm_tasks()} tasks: ask for one task a device "
            "(--ntasks-per-node, or launcher=slurm, which does it)"
        )
    return ranks


@contextmanager
def leading() -> Iterator[distributed.Store | None]:
    """Within it SLURM's first task decides what there is to do, and the others `follow`; None outside of SLURM."""
    if slurm_tasks() == 1:
        yield None
        return
    store = _store(slurm_environment())
    try:
        yield store
    finally:
        if not store.check([WORK]):
            _tell(store, "")


def follow() -> None:
    """What SLURM's tasks but the first do: what that one tells them, or nothing."""
    environment = slurm_environment()
    store = _store(environment)
    text = store.get(WORK).decode()
    store.add(HEARD, 1)
    if text:
        ranks = environment.world_size()
        take_part(Work.from_json(text), environment.global_rank(), ranks, environment.local_rank(), store)


def take_part(work: Work, rank: int, ranks: int, device: int, store: distributed.Store) -> None:
    """Does a rank's part of the work; the first one alone tells how it goes. device: see `group`."""
    quiet()
    level = logging.WARNING if rank else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stdout, force=True)
    work.config.trainer.progress = work.config.trainer.progress and rank == 0
    try:
        with group(work.config, rank, ranks, device, store):
            do_work(work)
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        # A rank that is left alone in the group would be waited for.
        sys.stderr.flush()
        os._exit(2)


def _tell(tasks: distributed.Store, text: str) -> None:
    tasks.set(WORK, text)
    # The store ends with this process.
    while tasks.add(HEARD, 0) < slurm_tasks() - 1:
        time.sleep(0.01)


def _store(environment: SLURMEnvironment) -> distributed.TCPStore:
    store = distributed.TCPStore(
        environment.main_address, environment.main_port, environment.world_size(),
        is_master=environment.global_rank() == 0, timeout=ARRIVAL, wait_for_workers=False,
    )  # fmt: skip
    store.set_timeout(PATIENCE)
    return store


@contextmanager
def group(config: DictConfig, rank: int, ranks: int, device: int, store: distributed.Store) -> Iterator[None]:
    """Within it the ranks can talk to each other; device: the number of this one's GPU, where they compute on GPUs."""
    backend = "gloo"
    if run_device(config.trainer).type == "cuda":
        torch.cuda.set_device(device)
        backend = "nccl"
    distributed.init_process_group(
        backend, store=distributed.PrefixStore("ranks", store), rank=rank, world_size=ranks, timeout=PATIENCE
    )
    yield
    distributed.destroy_process_group()


def _by_processes(work: Work, ranks: int) -> None:
    """One process a rank, the first of which speaks for all; the others leave what they say in rank-<n>.log."""
    # Here, for this process outlives them, and a port that is looked for and let go can be taken by another.
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    job = work.cell.folder / "ranks.json"
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
            # A rank that outlives the holder of the lock would write into a cell that another has taken.
            started.append(
                start_one_of_many(
                    "llmrec.training.rank", [str(job)], shared | own, _log(work, rank), ends_by=signal.SIGKILL
                )
            )
        _wait(started, work)
    finally:
        stop(started)
        job.unlink(missing_ok=True)


def _log(work: Work, rank: int) -> Path | None:
    return work.cell.folder / f"rank-{rank}.log" if rank else None


def _wait(ranks: Sequence[Process], work: Work) -> None:
    while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
        time.sleep(0.05)
    failed = [number for number, rank in enumerate(ranks) if rank.poll()]
    if not failed:
        return
    # Those that fail later do so because of these.
    until = time.monotonic() + LAST_WORDS
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < until:
        time.sleep(0.05)
    for number in failed:
        if number:
            print(f"rank {number} ended with {ranks[number].poll()}: see {_log(work, number)}")
    raise SystemExit(abs(ranks[failed[0]].poll() or 1))
