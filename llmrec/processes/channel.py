"""Messages between two processes of one machine."""

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

CHUNK_BYTES = 1 << 16
MAX_DESCRIPTORS = 2
"""File descriptors with one message: stdout and stderr."""


class Channel:
    """One end of a Unix socket that carries JSON messages, one a line, and open file descriptors with them.

    Args:
        connection: A connected stream socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.descriptors: list[int] = []

    def fileno(self) -> int:
        """Returns the socket's file descriptor, so that `select` accepts the channel."""
        return self.connection.fileno()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Sends a message, and copies of open file descriptors with it."""
        line = json.dumps(message).encode() + b"\n"
        self.connection.settimeout(None)
        sent = socket.send_fds(self.connection, [line], descriptors) if descriptors else 0
        self.connection.sendall(line[sent:])

    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """Returns the next message, or None if it does not arrive within `timeout` seconds (None: no limit).

        Raises:
            EOFError: The other end is closed.
        """
        self.connection.settimeout(timeout)
        while b"\n" not in self.received:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.connection, CHUNK_BYTES, MAX_DESCRIPTORS)
            except (BlockingIOError, TimeoutError):
                return None
            except ConnectionError as error:
                raise EOFError from error
            if not data:
                raise EOFError
            self.received += data
            self.descriptors += descriptors
        line, _, self.received = self.received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def take_descriptors(self) -> list[int]:
        """Returns the descriptors that have arrived; the caller closes them."""
        taken, self.descriptors = self.descriptors, []
        return taken

    def close(self) -> None:
        """Closes this end and the descriptors that have not been taken."""
        self.connection.close()
        for descriptor in self.take_descriptors():
            os.close(descriptor)
