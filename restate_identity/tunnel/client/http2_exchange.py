"""One request on an HTTP/2 connection to a target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from h2.errors import ErrorCodes

from restate_identity.tunnel.client.exchange import ExchangeError, Field, RequestHead, ResponseHead
from restate_identity.tunnel.client.response_head import body_length, checked_trailers, response_head
from restate_identity.tunnel.header_blocks import HeaderList
from restate_identity.tunnel.output import Output


class Http2Exchange:
    """An `Exchange` on one stream.

    The response's body is buffered up to the stream's flow-control window, which reopens as `read` returns it.

    Args:
        output: The sending half of the connection.
        stream_id: The stream, which is open.
        request: The head that was sent.
        on_over: Called once, when the stream needs no place among the target's streams any more.
    """

    __slots__ = (
        "_body",
        "_complete",
        "_error",
        "_head",
        "_left",
        "_method",
        "_on_over",
        "_output",
        "_over",
        "_sent",
        "_waiter",
        "stream_id",
        "trailers",
    )

    def __init__(
        self, output: Output, stream_id: int, request: RequestHead, on_over: Callable[[Http2Exchange], None]
    ) -> None:
        self.stream_id: int = stream_id
        self.trailers: list[Field] = []
        self._output = output
        self._on_over = on_over
        self._method = request.method
        self._head: ResponseHead | None = None
        self._left: int | None = None  # of the body's announced length
        self._body = bytearray()
        self._complete = False  # the response
        self._sent = request.ended  # the request
        self._over = False
        self._error: ExchangeError | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the caller does.

    async def send(self, data: bytes, *, end: bool = False, trailers: Iterable[Field] = ()) -> None:
        """See `Exchange.send`."""
        self._raise_error()
        rest, last = memoryview(data), list(trailers)
        while rest or (end and not last):
            rest = rest[self._output.write(self.stream_id, rest, end=end and not last) :]
            if not rest:
                break
            await self._output.room(self.stream_id)
        if end:
            if last:
                # No window holds them back, so they would pile up.
                while self._output.paused:
                    await self._output.turns.wait_for_socket(self.stream_id)
                self._output.headers(self.stream_id, last, end=True)
            self._sent = True

    async def head(self) -> ResponseHead:
        """See `Exchange.head`."""
        while self._head is None:
            self._raise_error()
            await self._news()
        return self._head

    async def read(self) -> tuple[bytes, bool]:
        """See `Exchange.read`."""
        while not self._body and not self._complete:
            self._raise_error()
            await self._news()
        data = bytes(self._body)
        self._discard()
        return data, self._complete

    def cancel(self) -> None:
        """See `Exchange.cancel`."""
        self._discard()
        self.broken(ErrorCodes.CANCEL, "cancelled")

    # What the connection reports.

    @property
    def awaits_head(self) -> bool:
        """Whether the response has not begun."""
        return self._head is None

    def head_received(self, headers: HeaderList) -> None:
        """Handle the head of the response."""
        try:
            head = response_head(headers)
            self._left = body_length(self._method, head)
        except ValueError as error:
            self.broken(ErrorCodes.PROTOCOL_ERROR, f"its response has {error}")
            return
        self._head = head
        self._wake()

    def data_received(self, data: bytes, flow_controlled: int) -> None:
        """Buffer a part of the body. *flow_controlled* is its size in the window, padding included."""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._output.credit(self.stream_id, flow_controlled)
                self.broken(ErrorCodes.PROTOCOL_ERROR, "its body is longer than its head says")
                return
        self._body += data
        self._output.credit(self.stream_id, flow_controlled - len(data))
        self._wake()

    def trailers_received(self, headers: HeaderList) -> None:
        """Handle the trailers, which the end of the stream follows."""
        try:
            self.trailers = checked_trailers(headers)
        except ValueError as error:
            self.broken(ErrorCodes.PROTOCOL_ERROR, f"its response has {error}")

    def ended(self) -> None:
        """Handle the end of the response."""
        if self._left:
            self.broken(ErrorCodes.PROTOCOL_ERROR, "its body is shorter than its head says")
            return
        self._complete = True
        if self._sent:
            self._end()
        self._wake()

    def broken(self, code: ErrorCodes, reason: str) -> None:
        """Reset the stream, unless it has ended: because of an error of the target, or of `cancel`."""
        if not self._over:
            self._output.reset(self.stream_id, code)
            self.failed(ExchangeError(reason))

    def failed(self, error: ExchangeError) -> None:
        """Handle the loss of the stream: the target reset it, or the connection has ended."""
        if not self._complete:
            # A reset after the whole response only says that the rest of the request is not needed (RFC 9113, 8.1).
            self._error = error
        self._end()
        self._wake()

    def _end(self) -> None:
        self._over = True
        self._on_over(self)

    def _discard(self) -> None:
        self._output.credit(self.stream_id, len(self._body))
        self._body.clear()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
