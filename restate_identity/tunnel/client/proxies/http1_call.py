"""One request on an HTTP/1.1 connection to a remote proxy, as ASGI has it (`restate_identity.tunnel.beyond_asgi`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

import h11

from restate_identity.asgi import Message
from restate_identity.tunnel.client.exchange import Field
from restate_identity.tunnel.client.http1_heads import complaint
from restate_identity.tunnel.client.proxies.side import Serve
from restate_identity.tunnel.request import Request

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")


class Line(Protocol):
    """What a call needs of its connection."""

    @property
    def takes_chunks(self) -> bool: ...  # noqa: D102
    async def write(self, event: h11.Event) -> None: ...  # noqa: D102
    def read_on(self) -> None: ...  # noqa: D102
    def continue_(self) -> None: ...  # noqa: D102
    def over(self, call: Http1Call, *, complete: bool) -> None: ...  # noqa: D102


class Http1Call:
    """A request and its response.

    Args:
        line: The connection.
        request: The head of the request.
    """

    def __init__(self, line: Line, request: Request) -> None:
        self.request: Request = request
        self.task: asyncio.Task[None] | None = None
        self._line = line
        self._body = bytearray()
        self._trailers: list[Field] = []
        self._ended = request.ended
        self._complete = False
        self._chunked = False
        self._news = asyncio.Event()

    @property
    def buffered(self) -> int:
        """The number of bytes that wait to be read."""
        return len(self._body)

    def received(self, data: bytes) -> None:
        """Buffer a part of the body."""
        self._body += data
        self._news.set()

    def ended(self, trailers: Iterable[Field]) -> None:
        """Handle the end of the body."""
        self._trailers = list(trailers)
        self._ended = True
        self._news.set()

    async def run(self, serve: Serve) -> None:
        """Answer the request, and then tell the connection."""
        try:
            await serve(self.request, self.receive, self.send)
        except h11.LocalProtocolError as error:
            logger.warning("tunnel client: a response cannot be sent over HTTP/1.1: %s", complaint(error))
        except Exception:
            logger.exception("tunnel client: a remote proxy failed")
        finally:
            self._line.over(self, complete=self._complete)

    async def receive(self) -> Message:
        """Wait for the next part of the request (ASGI)."""
        while not self._body and not self._ended:
            self._line.continue_()
            self._news.clear()
            await self._news.wait()
        data = bytes(self._body)
        self._body.clear()
        self._line.read_on()
        message: Message = {"type": "http.request", "body": data, "more_body": not self._ended}
        if self._trailers:
            message["trailers"] = self._trailers
        return message

    async def send(self, message: Message) -> None:
        """Send the next part of the response; return when the socket has taken it (ASGI)."""
        kind = message["type"]
        if kind == "http.response.start":
            headers = list(message["headers"])
            has_body = self.request.method != "HEAD" and message["status"] not in (204, 304)
            has_length = any(name == b"content-length" for name, _ in headers)
            self._chunked = self._line.takes_chunks and has_body and not has_length
            await self._line.write(h11.Response(status_code=message["status"], headers=headers))
        elif kind == "http.response.body":
            body = message.get("body", b"")
            if body and self.request.method != "HEAD":
                await self._line.write(h11.Data(data=body))
            if not message.get("more_body", False):
                # There is no other place for trailers than behind chunks (RFC 9110, 6.5.1).
                trailers = message.get("trailers") if self._chunked else None
                await self._line.write(h11.EndOfMessage(headers=trailers or []))
                self._complete = True
        # After RESET, and whatever else there may be, the response is incomplete.
