"""The server that forks processes: `python -m llmrec.processes.serve_forks DESCRIPTOR MODULE...`.

DESCRIPTOR is a connected socket, and the MODULEs are imported once for all forks. fork_server.py starts the server.
"""

import atexit
import importlib
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from llmrec.command import garbage_collection_paused
from llmrec.processes.channel import Channel
from llmrec.processes.fork_server import ForkRequest, ForkServer, inherit_server
from llmrec.processes.process import signal_on_parent_death

POLL_S = 0.02
"""Seconds between two checks whether a fork has ended."""


@dataclass(frozen=True)
class Fork:
    """A process that the server has forked.

    Attributes:
        requester: Channel to the process that requested the fork.
        channel: Channel to the fork, which may request forks, too.
        death_signal: Signal that the fork gets when the requester dies.
    """

    requester: Channel
    channel: Channel
    death_signal: int


class Server:
    """Forks processes for the process that started the server, and for the forks themselves.

    Args:
        starter: Channel to the process that started the server; the server ends with it.
    """

    def __init__(self, starter: Channel) -> None:
        self.starter = starter
        self.requesters = {starter}
        self.forks: dict[int, Fork] = {}

    def run(self) -> ForkRequest | None:
        """Serves requests until the starter ends. Returns None in the server, and its request in each fork."""
        while self.starter in self.requesters:
            readable, _, _ = select.select(list(self.requesters), [], [], POLL_S)
            for requester in readable:
                request = self._receive(requester)
                if request is not None and self._fork(requester, request):
                    return request
            self._reap()
        for requester in list(self.requesters):
            self._drop(requester)
        return None

    def _receive(self, requester: Channel) -> ForkRequest | None:
        try:
            message = requester.receive(timeout=0)
        except EOFError:
            self._drop(requester)
            return None
        return None if message is None else ForkRequest(**message)

    def _fork(self, requester: Channel, request: ForkRequest) -> bool:
        """Forks a process and returns whether this is the new process."""
        server = os.getpid()
        outputs = requester.take_descriptors()
        own, other = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            own.close()
            for channel in self.requesters:
                channel.close()
            inherit_server(ForkServer(Channel(other)))
            _detach(server, request.death_signal, outputs)
            return True
        other.close()
        for output in outputs:
            os.close(output)
        self.forks[pid] = Fork(requester, Channel(own), request.death_signal)
        self.requesters.add(self.forks[pid].channel)
        # The requester may have died.
        with suppress(OSError):
            requester.send({"started": pid})
        return False

    def _reap(self) -> None:
        """Sends the exit statuses of forks that have ended to their requesters."""
        for pid, fork in list(self.forks.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.forks[pid]
                self._drop(fork.channel)
                with suppress(OSError):
                    fork.requester.send({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _drop(self, requester: Channel) -> None:
        """Closes the channel of a process that has ended, and ends the forks that it requested."""
        self.requesters.discard(requester)
        requester.close()
        for pid, fork in self.forks.items():
            if fork.requester is requester:
                os.kill(pid, fork.death_signal)


def _detach(server: int, death_signal: int, outputs: Sequence[int]) -> None:
    """Gives a fork a session of its own, the death signal, and the requester's output files."""
    os.setsid()
    signal_on_parent_death(death_signal)
    if os.getppid() != server:
        sys.exit("the fork server has ended")
    # A shell makes background processes ignore SIGINT, which the forks would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
        os.close(output)


def _run_module(request: ForkRequest) -> None:
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.path[:] = request.search_path
    sys.argv = [request.module, *request.arguments]
    if "torch" in sys.modules and "OMP_NUM_THREADS" in request.environment:
        # torch reads the variable only on import.
        sys.modules["torch"].set_num_threads(int(request.environment["OMP_NUM_THREADS"]))
    with _fast_exit():
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


_exit_status: int | None = None
"""The exit status of a fork whose command has ended without an error that Python would report."""


@contextmanager
def _fast_exit() -> Iterator[None]:
    """Remembers the exit status of the block for `_skip_finalization`."""
    global _exit_status
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, int):
            _exit_status = end.code
        raise
    _exit_status = 0


def _skip_finalization() -> None:
    """Ends a fork before Python frees what the server has imported, which would copy its memory: 0.3 s each time."""
    if _exit_status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)


def main() -> None:
    """Serves until the process that started the server has ended; in a fork, runs the requested command."""
    descriptor, *modules = sys.argv[1:]
    # Functions are called in reverse order: this one after those of the imported modules and of the command.
    atexit.register(_skip_finalization)
    # It also excludes the imported objects from garbage collection in the forks.
    with garbage_collection_paused():
        for module in modules:
            importlib.import_module(module)
    request = Server(Channel(socket.socket(fileno=int(descriptor)))).run()
    if request is not None:
        _run_module(request)


if __name__ == "__main__":
    main()
