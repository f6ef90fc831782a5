"""Clients that send their requests slowly, or only in part, are cut off; slow answers and idle connections are not."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from llmrec.serve import app
from llmrec.serve.header_limit import HeaderLimit
from llmrec.serve.served_run import ServedRun
from tests.serve.conftest import served

BOUND_S = 0.5
SECONDS = 60
HEAD = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def port(runs: list[ServedRun]) -> Iterator[int]:
    """The port of a server that waits half a second for headers, and as long for a body."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeaderLimit, "seconds", BOUND_S)
        patch.setattr(app, "BODY_SECONDS", BOUND_S)
        with served(runs) as port:
            yield port


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connected:
        yield connected


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_headers_that_do_not_end_close_the_connection(client: socket.socket, start: bytes) -> None:
    client.sendall(start)
    assert client.recv(1) == b""


@pytest.mark.parametrize("before", [b"", HEALTH])
def test_headers_byte_by_byte_are_cut_off(client: socket.socket, before: bytes) -> None:
    if before:
        client.sendall(before)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert is_closed_while_sending(client, itertools.chain(HEALTH[:-2], itertools.repeat(ord("x"), 10_000)))


def test_a_body_that_does_not_end_is_refused(client: socket.socket) -> None:
    client.sendall(HEAD % 100 + b'{"history"')
    answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"detail": "the body did not arrive within 0.5 s"}


def test_a_body_byte_by_byte_is_cut_off(client: socket.socket) -> None:
    client.sendall(HEAD % 20_000)
    assert is_closed_while_sending(client, itertools.repeat(ord("x"), 10_000))


def test_an_answer_may_take_longer_than_the_headers(
    client: socket.socket, runs: list[ServedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, go = runs[1].queue, threading.Event()
    answer = queue.answer

    def held(histories: list[list[str]]) -> object:
        assert go.wait(SECONDS)
        return answer(histories)

    monkeypatch.setattr(queue, "answer", held)
    body = json.dumps({"history": ["a"], "runs": [runs[1].name]}).encode()
    client.sendall(HEAD % len(body) + body)
    time.sleep(2 * BOUND_S)
    go.set()
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_may_wait_longer_than_the_headers(client: socket.socket) -> None:
    for _ in range(2):
        client.sendall(HEALTH)
        received = b""
        # Headers and body may arrive in two parts.
        while not received.endswith(b"}"):
            received += client.recv(1 << 16)
        assert received.startswith(b"HTTP/1.1 200")
        time.sleep(2 * BOUND_S)


def is_closed_while_sending(client: socket.socket, characters: Iterator[int]) -> bool:
    """Sends characters slowly, and returns whether the server ends the connection before it has them all."""
    client.settimeout(0.02)
    for character in characters:
        try:
            client.sendall(bytes([character]))
            if client.recv(1 << 16) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False
