"""Processes that a launcher starts and that never outlive it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

PR_SET_PDEATHSIG = 1
GRACE = 20
"""Seconds that an interrupted process gets to end by itself."""


def start(
    command: Sequence[str], environment: Mapping[str, str], log: Path | None = None, ends_by: int = signal.SIGTERM
) -> subprocess.Popen[bytes]:
    """Starts a command in a process session of its own, so that Ctrl-C reaches it through `stop` alone.

    environment: what it finds beside this process's own; log: the file that takes what it prints, None = this
    process's; ends_by: the signal that it gets when this process dies (on Linux).
    """
    with nullcontext() if log is None else open(log, "wb") as output:
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output and subprocess.STDOUT, start_new_session=True, preexec_fn=lambda: _die_with_parent(ends_by),
        )  # fmt: skip


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupts processes as Ctrl-C does, and kills what has not ended some seconds later; all are gone then."""
    for process in processes:
        _signal(process, signal.SIGINT)
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


def _die_with_parent(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
