"""Run one forwarded request as one ASGI call. Both bodies flow at the same time, each with back-pressure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from h2.errors import ErrorCodes

from restate_identity._quoting import quoted
from restate_identity.asgi import ASGIApp, Message, Scope
from restate_identity.tunnel.beyond_asgi import RESET
from restate_identity.tunnel.output import Headers, Output
from restate_identity.tunnel.request import Request
from restate_identity.tunnel.response import WITHOUT_BODY, content_length, response_fields

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class ForwardedStream:
    """One stream that the tunnel server opened.

    The request's body is buffered up to the stream's flow-control window, which reopens as the application reads.
    """

    __slots__ = (
        "_answered",
        "_body",
        "_ended",
        "_finished",
        "_gone",
        "_has_body",
        "_last_taken",
        "_left",
        "_length",
        "_news",
        "_output",
        "_owed",
        "_sending",
        "request",
        "started",
        "stream_id",
        "task",
        "trailers",
    )

    def __init__(self, output: Output, stream_id: int, request: Request) -> None:
        self._output = output
        self.stream_id: int = stream_id
        self.request: Request = request
        self.task: asyncio.Task[None] | None = None
        self.started: bool = False
        """Whether the application has been called."""
        self.trailers: list[tuple[bytes, bytes]] | None = None
        """The request's trailers; they come before `ended`."""
        # A single buffer, because a list of chunks of one byte each would take a hundred times their size.
        self._body = bytearray()
        self._owed = 0  # bytes in the buffer, to be credited to the window when they are read
        self._length = 0  # bytes received so far
        self._news = asyncio.Event()
        self._ended = request.ended
        self._last_taken = False
        self._gone = False
        self._answered = False
        self._has_body = True
        self._left: int | None = None  # of the announced length of the response's body
        self._finished = False
        # An application may send from several tasks; each message is sent completely before the next.
        self._sending = asyncio.Lock()

    # Incoming events.

    def received(self, data: bytes, flow_controlled: int) -> None:
        """Buffer a part of the request's body. *flow_controlled* is its size in the window, padding included."""
        self._length += len(data)
        if self._gone or self._finished:
            self._output.credit(self.stream_id, flow_controlled)
            return
        self._body += data
        self._owed += len(data)
        # Nobody consumes padding, so credit it at once.
        self._output.credit(self.stream_id, flow_controlled - len(data))
        self._news.set()

    def ended(self) -> None:
        """Handle the end of the request's body."""
        self._ended = True
        self._news.set()

    @property
    def is_gone(self) -> bool:
        """Whether the stream was reset, or the connection has ended."""
        return self._gone

    @property
    def has_another_length(self) -> bool:
        """Whether the body is longer than the request's content-length, or has ended and is shorter."""
        said = self.request.length
        return said is not None and (self._length > said or (self._ended and self._length < said))

    def refuse(self) -> None:
        """Reset the stream with REFUSED_STREAM, so that the server may send the request again (RFC 9113, 8.7)."""
        self._gone = True
        self._output.reset(self.stream_id, ErrorCodes.REFUSED_STREAM)

    def disconnected(self) -> None:
        """Handle the loss of the stream: it was reset, or the connection has ended."""
        self._gone = True
        self._output.turns.release(self.stream_id)
        self._news.set()
        self._discard()

    # Responses without the application.

    def answer(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Send a response without a body, and discard the request's body."""
        self._answered = True
        self._output.headers(self.stream_id, [(b":status", b"%d" % status), *headers], end=True)
        self._finish()

    # The application's call.

    async def run(self, app: ASGIApp, scope: Scope, done: Callable[[ForwardedStream], None]) -> None:
        """Call the application, and make sure that the stream ends afterwards, then call *done*."""
        self.started = True
        try:
            await app(scope, self.receive, self.send)
            if not self._finished and not self._gone:
                logger.error("the application returned without completing its response to %s", self._path(scope))
        except (Exception, SystemExit):
            # asyncio would let SystemExit, which `sys.exit()` raises, end the whole process, with all other requests.
            logger.exception("the application failed on %s", self._path(scope))
        finally:
            self._close()
            done(self)

    async def receive(self) -> Message:
        """Wait for the next part of the request, and return it (ASGI)."""
        while True:
            if self._gone or self._finished:
                return {"type": "http.disconnect"}
            if self._body or (self._ended and not self._last_taken):
                body = bytes(self._body)
                self._discard()
                self._last_taken = self._ended
                message = {"type": "http.request", "body": body, "more_body": not self._ended}
                if self._ended and self.trailers:
                    message["trailers"] = self.trailers
                return message
            self._news.clear()
            await self._news.wait()

    async def send(self, message: Message) -> None:
        """Send the next part of the response; return when the windows and the socket have taken all of it (ASGI)."""
        async with self._sending:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._answered:
                raise RuntimeError("the response has already been started")
            headers = response_fields(message["status"], message.get("headers") or ())
            has_body = self.request.method != "HEAD" and message["status"] not in WITHOUT_BODY
            left = content_length(headers) if has_body else None
            await self._wait_for_socket()
            self._answered = True
            self._has_body, self._left = has_body, left
            if not self._gone:
                self._output.headers(self.stream_id, headers)
        elif kind == "http.response.body":
            if not self._answered:
                raise RuntimeError("the response has not been started")
            if self._finished:
                raise RuntimeError("the response is already complete")
            end = not message.get("more_body", False)
            await self._send_body(message.get("body") or b"", end=end, trailers=message.get("trailers") or ())
        elif kind == RESET:
            self._reset(message["code"])
        else:
            raise RuntimeError(f"unexpected message type {kind!r}")

    async def _send_body(self, data: bytes, *, end: bool, trailers: Headers = ()) -> None:
        self._check_left(len(data), end=end)
        rest = memoryview(data if self._has_body else b"")
        ends = end and not trailers
        while (rest or ends) and not self._gone:
            rest = rest[self._output.write(self.stream_id, rest, end=ends) :]
            if not rest:
                break
            await self._output.room(self.stream_id)
        if trailers:
            await self._wait_for_socket()
            if not self._gone:
                self._output.headers(self.stream_id, trailers, end=True)
        if end:
            self._finish()

    async def _wait_for_socket(self) -> None:
        """Wait until headers may be sent: no window holds them back, so they would pile up."""
        while self._output.paused and not self._gone:
            await self._output.turns.wait_for_socket(self.stream_id)

    def _check_left(self, size: int, *, end: bool) -> None:
        """Raise RuntimeError if the body has another length than the head says: the response would be malformed."""
        if self._left is None or self._gone:
            return
        self._left -= size
        if self._left < 0 or (end and self._left):
            raise RuntimeError("the length of the response's body differs from its content-length")

    # The end.

    def _finish(self) -> None:
        self._finished = True
        self._news.set()
        self._discard()
        if not self._ended and not self._gone:
            # The response is complete, so the rest of the request is not needed (RFC 9113, 8.1).
            self._output.reset(self.stream_id, ErrorCodes.NO_ERROR)

    def _close(self) -> None:
        """End the stream if the application did not: with a 500, or with a reset if the response was started."""
        if self._finished or self._gone:
            return
        if self._answered:
            self._reset(ErrorCodes.INTERNAL_ERROR)
        else:
            self.answer(500)

    def _reset(self, code: ErrorCodes) -> None:
        if not self._finished and not self._gone:
            self._finished = True
            self._discard()
            self._output.reset(self.stream_id, code)

    def _discard(self) -> None:
        owed, self._owed = self._owed, 0
        self._body.clear()
        self._output.credit(self.stream_id, owed)

    def _path(self, scope: Scope) -> str:
        return quoted(scope["path"])
