"""A process that waits, with a command's imports made, to be the fork server that the command may start.

By itself a fork server makes these imports anew: ten seconds of a core for every test of a sweep or of ranks.
"""

import fcntl
import os
import pickle
import signal
import socket
from collections.abc import Sequence
from multiprocessing import util
from typing import Any

SERVER = "from multiprocessing.forkserver import main"
LARGEST = 1 << 20
ABOVE = 100


def keep_spare() -> None:
    """Forks it now, before the command has done anything; the first fork server that multiprocessing starts is it."""
    mine, its = socket.socketpair()
    spare = os.fork()
    if not spare:
        mine.close()
        _wait(its)
    its.close()
    afresh = util.spawnv_passfds

    def spawn(path: bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> Any:
        if not arguments[-1].startswith(SERVER):
            return afresh(path, arguments, descriptors)
        util.spawnv_passfds = afresh
        said = pickle.dumps((arguments[-1], list(descriptors), dict(os.environ)))
        socket.send_fds(mine, [said], descriptors)
        mine.close()
        return spare

    util.spawnv_passfds = spawn


def _wait(connection: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said, received, *_ = socket.recv_fds(connection, LARGEST, 2)
    connection.close()
    try:
        # Nothing comes where the command has ended without a fork server.
        if said:
            _serve(*pickle.loads(said), received)
    finally:
        os._exit(0)


def _serve(code: str, descriptors: Sequence[int], environment: dict[str, str], received: Sequence[int]) -> None:
    # The numbers that the code names may be taken by others of those that came.
    apart = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, ABOVE) for descriptor in received]
    for descriptor in received:
        os.close(descriptor)
    for descriptor, number in zip(apart, descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exec(code, {})
