"""The server as a process: its arguments, its address, its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.serve.server import Settings, bound_socket, run_configs
from tests.cli.commands import Started, Workplace

SECONDS = 60


@pytest.mark.parametrize("argument", ["port=65536", "port=x", "k=0", "k=1001", "waiting=0", "timeout=-1"])
def test_numbers_out_of_range_are_refused(argument: str) -> None:
    name, _, value = argument.partition("=")
    with pytest.raises(InputError, match=f"{argument}: give a whole number"):
        Settings.read({"run": "x", name: value})


def test_an_address_in_use_is_refused() -> None:
    with bound_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"host=127.0.0.1 port={port}: cannot listen"):
            bound_socket("127.0.0.1", port)


def test_all_requests_use_as_many_beams_as_the_longest_answer_needs(folders: list[Path]) -> None:
    def beams(k: str) -> int:
        (config,) = run_configs(Settings.read({"run": str(folders[0]), "k": k}), ["decoding.beams=7"], None).values()
        return int(config.decoding.beams)

    assert (beams("3"), beams("20")) == (7, 20)


def test_sigterm_finishes_what_was_accepted(workplace: Path, folders: list[Path]) -> None:
    started, port = serve(workplace, folders)
    body = json.dumps({"history": ["a"]}).encode()
    with socket.create_connection(("127.0.0.1", port), SECONDS) as accepted:
        accepted.sendall(
            b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        # The server answers so once it waits for the body.
        assert accepted.recv(100).startswith(b"HTTP/1.1 100")
        os.kill(started.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + SECONDS
        while accepts(port):
            assert time.monotonic() < deadline
        accepted.sendall(body)
        answer = b"".join(iter(lambda: accepted.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["runs"]) == 2
    done = started.wait()
    assert done.status == 143
    assert "Traceback" not in done.output
    assert "goes on from here" not in done.output


def serve(root: Path, folders: list[Path], *arguments: str) -> tuple[Started, int]:
    """Starts a server of runs, and returns it with its port."""
    place = Workplace(root, root / "cache")
    started = place.start("llmrec.serve", f"run={','.join(map(str, folders))}", "port=0", *arguments)
    while not (found := re.search(r"at http://127\.0\.0\.1:(\d+) ", started.log.read_text())):
        assert started.process.poll() is None, started.log.read_text()
        time.sleep(0.05)
    return started, int(found[1])


def accepts(port: int) -> bool:
    """Whether a connection to a port succeeds."""
    try:
        socket.create_connection(("127.0.0.1", port), SECONDS).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_200_concurrent_clients_get_answers(workplace: Path, folders: list[Path]) -> None:
    started, port = serve(workplace, folders)
    script = Path(__file__).resolve().parents[2] / "experiments" / "bench" / "serve_load.py"
    command = [sys.executable, str(script), f"http://127.0.0.1:{port}", "clients=200", "requests=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    os.kill(started.process.pid, signal.SIGTERM)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 x status 200" in done.stdout
    assert started.wait().status == 143
