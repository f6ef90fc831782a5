"""Starts processes that end at the latest with the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Protocol

PR_SET_PDEATHSIG = 1
"""The option of Linux's prctl that names the signal a process gets when its parent dies."""
STOP_GRACE_S = 20
"""Seconds that an interrupted process has to end by itself, in which a run writes its checkpoint."""


class Process(Protocol):
    """A running process, with the methods of subprocess.Popen that are needed here."""

    pid: int

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal, or None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit status.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """


def start_process(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path | None = None,
    death_signal: int = signal.SIGTERM,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts `python -m module arguments` in a session of its own.

    Ctrl-C therefore reaches it only through `stop_processes`.

    Args:
        module: The module to run.
        arguments: Its command line.
        environment: Environment variables in addition to this process's own.
        log: File for stdout and stderr; None for those of this process.
        death_signal: Signal that the new process gets when this one dies (Linux only).
        descriptors: Open file descriptors that the new process inherits.
    """
    with nullcontext() if log is None else open(log, "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True, pass_fds=descriptors,
            preexec_fn=lambda: signal_on_parent_death(death_signal),
        )  # fmt: skip


def stop_processes(processes: Sequence[Process]) -> None:
    """Interrupts processes as Ctrl-C does, kills those that run on after STOP_GRACE_S, and waits for all."""
    for process in processes:
        _send_signal(process, signal.SIGINT)
    for process in processes:
        try:
            process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            _send_signal(process, signal.SIGKILL)
            process.wait()


def signal_on_parent_death(number: int) -> None:
    """Has the kernel send this process a signal when its parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def _send_signal(process: Process, number: int) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # It does not lead a process group yet, or has just ended.
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
