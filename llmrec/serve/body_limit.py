"""Bounds the body of a request: its size, and the time in which it arrives."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that reads the body before the application does.

    A larger body gets the status 413 and one that arrives too slowly 408; no more than the limit is in memory.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self.app, self.max_bytes, self.seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._body(receive)
        except TimeoutError:
            await _refuse(408, f"the body did not arrive within {self.seconds:g} s", scope, receive, send)
            return
        if body is None:
            await _refuse(413, f"the body has more than {self.max_bytes:,} bytes", scope, receive, send)
            return
        read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return read.pop() if read else await receive()

        await self.app(scope, replayed, send)

    async def _body(self, receive: Receive) -> bytes | None:
        """Returns the body; None if it is too large. What a client has sent before it left is a body, too."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.max_bytes:
                return None
        return bytes(body)


async def _refuse(status: int, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    # The rest of the body stays unread, so the connection cannot be used again.
    await JSONResponse({"detail": reason}, status, headers={"Connection": "close"})(scope, receive, send)
