"""Processes that a launcher starts and that never outlive it."""

import atexit
import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, Protocol

from llmrec.processes.slots import visible_gpus

PR_SET_PDEATHSIG = 1
GRACE = 20
"""Seconds that an interrupted process gets to end by itself."""
SERVER = multiprocessing.get_context("forkserver")


class Process(Protocol):
    """A process at work, as subprocess.Popen is one."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status once it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """The same; waits for it. Raises subprocess.TimeoutExpired."""


class Forked:
    """A process that was forked."""

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.process, self.pid = process, process.pid

    def poll(self) -> int | None:
        """Its exit status once it has ended."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The same; waits for it. Raises subprocess.TimeoutExpired."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.process.name, timeout)
        return self.process.exitcode


def start(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path | None = None,
    ends_by: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Starts `python -m module arguments` in a session of its own, so that Ctrl-C reaches it through `stop` alone.

    environment: what it finds beside this process's own; log: the file that takes what it prints, None = this
    process's; ends_by: the signal that it gets when this process dies (on Linux).
    """
    with nullcontext() if log is None else open(log, "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: die_with_parent(ends_by),
        )  # fmt: skip


def start_one_of_many(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path | None = None,
    ends_by: int = signal.SIGTERM,
) -> Process:
    """The same, from a process that has made a run's imports for all that this one starts.

    They take ten seconds of a core, more than all else that a small run does. Not where there are GPUs: CUDA does not
    work in a fork of a process that has looked at one.
    """
    if visible_gpus():
        return start(module, arguments, environment, log, ends_by)
    _serve(environment)
    command, environment = (module, *arguments), {**os.environ, **environment}
    process = SERVER.Process(target=_become, args=(command, environment, log, ends_by))
    process.start()
    return Forked(process)


def stop(processes: Sequence[Process]) -> None:
    """Interrupts processes as Ctrl-C does, and kills what has not ended some seconds later; all are gone then."""
    for process in processes:
        _signal(process, signal.SIGINT)
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _serve(environment: Mapping[str, str]) -> None:
    """Starts the process that forks, unless it is there; some libraries read the environment when they are loaded."""
    own = dict(os.environ)
    os.environ.update({**environment, "OMP_WAIT_POLICY": "PASSIVE"})
    SERVER.set_forkserver_preload(["llmrec.processes.preload"])
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(own)


def _become(command: Sequence[str], environment: Mapping[str, str], log: Path | None, ends_by: int) -> None:
    import torch

    os.setsid()
    # The server, its parent, dies with the process that asked for it.
    die_with_parent(ends_by)
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        return
    _redirect(os.devnull, "rb", 0)
    if log is not None:
        _redirect(log, "wb", 1, 2)
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:
        # By itself torch reads it when it is imported.
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = list(command)
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        # What multiprocessing starts ends without them.
        atexit._run_exitfuncs()


def _redirect(path: str | Path, mode: Literal["rb", "wb"], *descriptors: int) -> None:
    with open(path, mode) as file:
        for descriptor in descriptors:
            os.dup2(file.fileno(), descriptor)


def _signal(process: Process, number: int) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # It has no session of its own yet, or has just ended.
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def die_with_parent(number: int) -> None:
    """Has this process get a signal when the one that started it dies; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
