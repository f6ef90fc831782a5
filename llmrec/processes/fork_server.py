"""Starts processes as forks of a server that has already imported what a run needs, which saves ten CPU seconds each.

The fork server of multiprocessing does not call functions registered with `atexit` when a fork ends, and forks that
start processes launch a server of their own, which imports everything again.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmrec.processes.channel import Channel
from llmrec.processes.process import Process, start_process
from llmrec.processes.slots import visible_gpus

SERVER = "llmrec.processes.serve_forks"
RUN_IMPORTS = "llmrec.training.run_configuration"
"""Imported by the server only: this package does not depend on training."""
LOST_STATUS = 255
"""The exit status of processes that ended because their server died."""


@dataclass(frozen=True)
class ForkRequest:
    """A command for the server, `python -m module arguments`, with the environment that it runs in.

    Attributes:
        module: The module to run.
        arguments: Its command line.
        environment: All environment variables.
        folder: The working directory.
        search_path: `sys.path` of the new process.
        death_signal: Signal that the new process gets when the requesting process dies.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    search_path: Sequence[str]
    death_signal: int = signal.SIGTERM


class ForkServer:
    """A connection to a server (serve_forks.py).

    Args:
        channel: The channel to the server.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.statuses: dict[int, int] = {}
        self.is_lost = False

    @classmethod
    def start(cls, modules: Sequence[str], environment: Mapping[str, str]) -> "ForkServer":
        """Starts a server that ends with this process.

        Args:
            modules: Modules that the server imports before it forks.
            environment: Environment variables in addition to this process's own. They are set here because some
                libraries read them on import.
        """
        own, other = socket.socketpair()
        with other:
            start_process(SERVER, [str(other.fileno()), *modules], environment, descriptors=[other.fileno()])
        return cls(Channel(own))

    def fork(self, request: ForkRequest, log: Path | None = None) -> "ForkedProcess":
        """Has the server start a process.

        Args:
            request: The command.
            log: File for stdout and stderr; None for those of this process.

        Raises:
            RuntimeError: The server has ended.
        """
        try:
            with nullcontext() if log is None else open(log, "wb") as output:
                descriptors = (1, 2) if output is None else (output.fileno(), output.fileno())
                self.channel.send(asdict(request), descriptors)
            while "started" not in (message := self._receive(None) or {}):
                pass
        except (EOFError, BrokenPipeError) as error:
            self.is_lost = True
            raise RuntimeError(f"the process that forks {request.module} has ended, see what it printed") from error
        return ForkedProcess(self, message["started"])

    def status(self, pid: int, timeout: float | None) -> int | None:
        """Returns the exit status of a process, or None if it still runs after `timeout` seconds (None: no limit)."""
        until = None if timeout is None else time.monotonic() + timeout
        while pid not in self.statuses:
            try:
                if self._receive(None if until is None else max(0.0, until - time.monotonic())) is None:
                    return None
            except EOFError:
                self.is_lost = True
                return LOST_STATUS
        return self.statuses[pid]

    def _receive(self, timeout: float | None) -> dict[str, Any] | None:
        message = self.channel.receive(timeout)
        if message is not None and "ended" in message:
            self.statuses[message["ended"]] = message["status"]
        return message


class ForkedProcess:
    """A process that a server has forked for this one.

    Args:
        server: The connection to the server.
        pid: The process id.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.server, self.pid = server, pid

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal, or None while the process runs."""
        return self.server.status(self.pid, timeout=0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit status.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """
        status = self.server.status(self.pid, timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status


_server: ForkServer | None = None


def inherit_server(server: ForkServer) -> None:
    """Makes `start_preloaded` use a server; forks use the server that forked them."""
    global _server
    _server = server


def start_preloaded(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path | None = None,
    death_signal: int = signal.SIGTERM,
) -> Process:
    """Does what `start_process` does, but without the time for the imports of a run.

    With GPUs it calls `start_process`, since CUDA does not work in the fork of a process that has accessed a GPU.
    """
    if visible_gpus():
        return start_process(module, arguments, environment, log, death_signal)
    if _server is None or _server.is_lost:
        inherit_server(ForkServer.start([RUN_IMPORTS], environment))
    assert _server is not None
    variables = {**os.environ, **environment}
    return _server.fork(ForkRequest(module, arguments, variables, os.getcwd(), sys.path, death_signal), log)
