"""Bounds the time in which the headers of a request arrive, which uvicorn does not."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class HeaderLimit(H11Protocol):
    """uvicorn's HTTP/1.1, but closes a connection on which the headers of a request do not arrive in time.

    The time starts when a connection is made and, on one that had a request before, with the first byte of the next.
    """

    seconds: ClassVar[float] = 10.0

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        if self.deadline is None and not self._has_request():
            self._start()
        super().data_received(data)
        if self._has_request():
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _has_request(self) -> bool:
        """Whether the headers of a request have arrived that is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _start(self) -> None:
        # uvicorn's handler of connections that are idle for too long closes this one in the same way.
        self.deadline = self.loop.call_later(self.seconds, self.timeout_keep_alive_handler)

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
