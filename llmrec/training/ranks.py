"""Distributed runs: the ranks are processes that the coordinator starts, or that a launcher has started with it.

Only the coordinator, which holds the lock of the run's folder, plans the work and checks what is done already.
"""

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

import torch
from omegaconf import DictConfig
from torch import distributed

from llmrec.backbones.device import run_device
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.processes.fork_server import start_preloaded
from llmrec.processes.process import Process, stop_processes
from llmrec.training.cluster import LaunchedRank, world_size
from llmrec.training.quiet import silence_libraries
from llmrec.training.rendezvous import RANK_TIMEOUT, Rendezvous
from llmrec.training.run_folder import is_baseline
from llmrec.training.work import Work, do_work

FAILURE_GRACE_S = 5
"""Time for the other ranks to exit by themselves after one has failed."""
_launched: ContextVar[Rendezvous | None] = ContextVar("_launched", default=None)
"""The other ranks, where a launcher has started this process as their coordinator."""


def run_on_ranks(work: Work, dataset: Dataset) -> None:
    """Does the work with as many ranks as the config asks for; with one, in this process.

    Args:
        work: What there is to do.
        dataset: The opened dataset of the work.

    Raises:
        SystemExit: A rank failed; with its status.
    """
    ranks, others = ranks_of(work.config), _launched.get()
    if ranks == 1:
        do_work(work, dataset)
    elif others is None:
        _by_processes(work, ranks)
    else:
        others.publish(work.to_json())
        with process_group(work.config, 0, ranks, others.me.local_rank, others.store):
            do_work(work, dataset)


def ranks_of(config: DictConfig) -> int:
    """Returns the world size of a run.

    Raises:
        InputError: The number of devices or the strategy cannot be used, or does not fit the processes that a launcher
            has started.
    """
    devices, strategy, others = config.trainer.devices, config.trainer.strategy, _launched.get()
    if type(devices) is not int or devices < 1:
        raise InputError(f"trainer.devices={devices}: give the number of processes, a whole number of at least 1")
    gpus = torch.cuda.device_count() if config.trainer.accelerator != "cpu" else 0
    if gpus and devices > gpus:
        raise InputError(f"trainer.devices={devices}, but only {gpus} GPUs are visible. Set it to at most {gpus}")
    if strategy not in ("auto", "ddp", "fsdp"):
        raise InputError(f"trainer.strategy={strategy}: choose auto, ddp or fsdp (trainer=single, ddp, fsdp)")
    if is_baseline(config):
        return 1
    nodes, ranks = config.trainer.get("nodes", 1), world_size(config.trainer)
    if others is None and nodes > 1:
        raise InputError(
            f"trainer.nodes={nodes}, but this process was started alone. Start one process per device on each node "
            "with torchrun or srun, or the run with launcher=slurm; trainer.nodes=1 uses this node only"
        )
    if others is not None and ranks != others.me.world_size:
        raise InputError(
            f"trainer.nodes={nodes} and trainer.devices={devices} need {ranks} processes, but the launcher has started "
            f"{others.me.world_size} (WORLD_SIZE, or the tasks of srun). Set trainer.nodes to the number of nodes and "
            "trainer.devices to the processes per node, with trainer=ddp or fsdp"
        )
    return ranks


@contextmanager
def coordinator(me: LaunchedRank) -> Iterator[None]:
    """Makes this process, rank 0, the coordinator of the other ranks, which call `follow_coordinator`.

    Args:
        me: This process's place among the ranks.

    Raises:
        SystemExit: Another rank has failed.
    """
    me.export()
    others = Rendezvous(me)
    _launched.set(others)
    try:
        yield
    except BaseException as error:
        cause = others.fail(error)
        # A process that exits, such as after a signal, has printed why.
        if cause is None or isinstance(error, SystemExit):
            raise
        print(f"llmrec: {cause}", file=sys.stderr)
        raise SystemExit(1) from None
    others.finish()


def follow_coordinator(me: LaunchedRank) -> None:
    """Waits for the coordinator and does this rank's part of the work, if there is any.

    Args:
        me: This process's place among the ranks.
    """
    me.export()
    others = Rendezvous(me)
    try:
        text = others.receive()
        if text:
            run_worker(Work.from_json(text), me.rank, me.world_size, me.local_rank, others.store)
    except BaseException as error:
        exit_at_once(error, others.fail(error))
    others.finish()


def exit_at_once(error: BaseException, cause: str | None = None) -> NoReturn:
    """Ends a rank that has failed. A normal exit would wait for ranks that may still be in a collective operation.

    Args:
        error: The exception of this rank.
        cause: The failure of another rank of which it is a consequence; printed instead.
    """
    status = 2 if isinstance(error, InputError) else 1
    if isinstance(error, SystemExit):
        # It has printed why.
        status = error.code if isinstance(error.code, int) else status
    elif cause is not None or isinstance(error, InputError):
        print(f"llmrec: {cause or error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


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
    with process_group(work.config, rank, ranks, device, store):
        do_work(work)


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
