"""One request on an HTTP/1.1 connection to a target."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import h11

from restate_identity.tunnel.client.exchange import ExchangeError, Field, RequestHead, ResponseHead
from restate_identity.tunnel.client.http1_heads import complaint, request_end, response_head_of, trailers_of


class Line(Protocol):
    """What an exchange needs of its connection."""

    def write(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None: ...  # noqa: D102
    async def room(self) -> None: ...  # noqa: D102
    def read_on(self) -> None: ...  # noqa: D102
    def over(self, exchange: Http1Exchange) -> None: ...  # noqa: D102
    def abort(self) -> None: ...  # noqa: D102


class Http1Exchange:
    """An `Exchange` that has a connection to itself.

    Args:
        line: The connection.
        request: The head that was sent.
    """

    def __init__(self, line: Line, request: RequestHead) -> None:
        self.trailers: list[Field] = []
        self.is_over: bool = False
        self._line = line
        self._has_length = any(name == b"content-length" for name, _ in request.headers)
        self._head: ResponseHead | None = None
        self._body = bytearray()
        self._complete = False  # the response
        self._sent = request.ended  # the request
        self._error: ExchangeError | None = None
        self._news = asyncio.Event()

    # What the caller does.

    async def send(self, data: bytes, *, end: bool = False, trailers: Iterable[Field] = ()) -> None:
        """See `Exchange.send`."""
        self._raise_error()
        if self._complete:
            return
        try:
            if data:
                self._line.write(h11.Data(data=data))
            if end:
                # A body with a length cannot have trailers (RFC 9112, 7.1.2).
                self._line.write(request_end(() if self._has_length else trailers))
                self._sent = True
        except h11.LocalProtocolError as error:
            self._line.abort()
            raise ExchangeError(f"the request cannot be sent over HTTP/1.1: {complaint(error)}") from None
        await self._line.room()
        self._raise_error()

    async def head(self) -> ResponseHead:
        """See `Exchange.head`."""
        while self._head is None:
            self._raise_error()
            self._news.clear()
            await self._news.wait()
        return self._head

    async def read(self) -> tuple[bytes, bool]:
        """See `Exchange.read`."""
        while not self._body and not self._complete:
            self._raise_error()
            self._news.clear()
            await self._news.wait()
        data = bytes(self._body)
        self._body.clear()
        if not self._complete:
            self._line.read_on()
        elif self._sent:
            self._end()
        return data, self._complete

    def cancel(self) -> None:
        """See `Exchange.cancel`."""
        if not self.is_over:
            if self._error is None and not self._complete:
                self._error = ExchangeError("cancelled")
            self._end()
            self._news.set()

    # What the connection reports.

    @property
    def buffered(self) -> int:
        """The number of bytes that wait to be read."""
        return len(self._body)

    def received(self, event: Any) -> None:
        """Handle an event of h11."""
        try:
            self._received(event)
        except ValueError as error:
            self.failed(ExchangeError(f"its response has {error}"))
            self._line.abort()

    def _received(self, event: Any) -> None:
        if isinstance(event, h11.Response):
            self._head = response_head_of(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self.trailers = trailers_of(event)
            self._complete = True
        elif isinstance(event, h11.ConnectionClosed):
            self.failed(ExchangeError("the target closed the connection"))
        self._news.set()

    def failed(self, error: ExchangeError) -> None:
        """Handle the loss of the connection."""
        if self.is_over or self._complete:
            return
        self._error = error
        self.is_over = True
        self._news.set()

    def _end(self) -> None:
        self.is_over = True
        self._line.over(self)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
