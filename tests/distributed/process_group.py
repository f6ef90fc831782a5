"""Runs a function in two processes that form a torch process group: `python -m tests.distributed.process_group FILE`.

FILE holds the pickled function and its arguments.
"""

import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import distributed

from llmrec.processes.fork_server import ForkRequest
from llmrec.processes.process import stop_processes
from tests.cli.commands import fork_server

RANKS = 2


def run_in_group(function: Callable[..., None], folder: Path, *arguments: Any) -> None:
    """Calls `function(rank, *arguments)` in RANKS processes. Fails with the output of one that fails.

    Args:
        function: Of a module that other processes can import.
        folder: Takes the processes' files.
        arguments: What pickle can write.
    """
    call = folder / "call.pickle"
    call.write_bytes(pickle.dumps((function, arguments)))
    logs = [folder / f"rank-{rank}.log" for rank in range(RANKS)]
    port = _free_port()
    ranks = [fork_server().fork(_request(call, rank, port), log) for rank, log in enumerate(logs)]
    while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
        time.sleep(0.02)
    failed = [log.read_text() for rank, log in zip(ranks, logs, strict=True) if rank.poll()]
    stop_processes(ranks)
    assert not failed, "\n".join(failed)


def _request(call: Path, rank: int, port: int) -> ForkRequest:
    variables = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(RANKS), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return ForkRequest("tests.distributed.process_group", [str(call)], os.environ | variables, os.getcwd(), sys.path)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    """Calls the function as one rank."""
    function, arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    distributed.init_process_group("gloo")
    function(distributed.get_rank(), *arguments)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
