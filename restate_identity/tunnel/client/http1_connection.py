"""An HTTP/1.1 connection to a target: one request at a time, and both bodies at the same time.

h11 reads and writes the messages. It refuses what could be read in two ways: a length and another one, a line break in
a header, a malformed chunk.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h11

from restate_identity._waiting import limited
from restate_identity.tunnel.client.connection import Watcher
from restate_identity.tunnel.client.exchange import ExchangeError, RequestHead
from restate_identity.tunnel.client.http1_exchange import Http1Exchange
from restate_identity.tunnel.client.http1_heads import complaint, request_event
from restate_identity.tunnel.client.idleness import Idleness
from restate_identity.tunnel.client.limits import Limits

# How many bytes may wait: in the socket's buffer, and of the response until it is read.
BUFFER = 64 * 1024
# The same as for a header list over HTTP/2.
_MAX_HEAD = 64 * 1024
_COMPLETE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
_CUT_OFF = "the connection ended without the end of TLS"


class Http1Connection(asyncio.Protocol):
    """See `TargetConnection`. It is used once it has its transport.

    Args:
        limits: How long the connection is kept without requests, and how many it takes.
    """

    multiplexes = False
    most = 1
    _transport: asyncio.Transport

    def __init__(self, limits: Limits) -> None:
        self.watcher: Watcher | None = None
        self.is_usable: bool = True
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._exchange: Http1Exchange | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._reading = True
        self._idleness = Idleness(limits.idle, self._idle)
        self._left = limits.requests

    # What the pool does.

    @property
    def in_flight(self) -> int:
        """See `TargetConnection.in_flight`."""
        return 0 if self._exchange is None else 1

    def open(self, head: RequestHead, scheme: str) -> Http1Exchange:  # noqa: ARG002 (the interface of a connection)
        """See `TargetConnection.open`."""
        self._exchange = exchange = Http1Exchange(self, head)
        self._left -= 1
        if not self._left:
            self._leave()
        try:
            event = request_event(head)
            self.write(event)
            if head.ended:
                self.write(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            self.fail(exchange, f"the request cannot be sent over HTTP/1.1: {complaint(error)}")
        return exchange

    async def gone(self, *, within: float) -> None:
        """See `TargetConnection.gone`."""
        if self._exchange is not None:
            self._exchange.failed(ExchangeError("the client has stopped"))
        self._close()
        try:
            await limited(self._closed.wait(), within)
        except asyncio.TimeoutError:
            self._abort()

    # What the exchange does.

    def write(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        """Send a part of the request."""
        data = self._h11.send(event)
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def room(self) -> None:
        """Wait until the socket takes more."""
        await self._writable.wait()

    def read_on(self) -> None:
        """Read from the socket again, because what was buffered has been read."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def over(self, exchange: Http1Exchange) -> None:
        """Use the connection for the next request if both sides have completed this one; else close it."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        states = (self._h11.our_state, self._h11.their_state)
        # What comes after a response that nobody has asked for could be taken for the next response.
        if states != (h11.DONE, h11.DONE) or not self.is_usable or self._h11.trailing_data[0]:
            if states[0] in _COMPLETE and states[1] in _COMPLETE:
                self._close()
            else:
                self._abort()
            return
        self._h11.start_next_cycle()
        self.read_on()
        self._idleness.begin()
        if self.watcher is not None:
            self.watcher.has_room(self)

    def fail(self, exchange: Http1Exchange, reason: str) -> None:
        """End the exchange and the connection."""
        exchange.failed(ExchangeError(reason))
        self._abort()

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        transport.set_write_buffer_limits(high=BUFFER)
        self._transport = transport
        self._idleness.begin()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._exchange is None:
            # Nobody has asked for it.
            self._abort()
            return
        self._h11.receive_data(data)
        self._take(self._exchange)

    def eof_received(self) -> None:  # noqa: D102
        self._leave()
        if self._exchange is None:
            return
        if _is_cut_off(self._transport):
            # The body may have had no other end than that of the connection (RFC 9112, 9.8).
            self.fail(self._exchange, _CUT_OFF)
        else:
            self._take_end(self._exchange)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        self._closed.set()
        self._writable.set()
        self._idleness.end()
        self._leave()
        if self._exchange is None:
            return
        if error is not None:
            self._exchange.failed(ExchangeError(f"the connection broke: {error}"))
        elif _is_cut_off(self._transport):
            self._exchange.failed(ExchangeError(_CUT_OFF))
        else:
            # Python 3.10 reports the end of TLS in no other way, and uvloop no end at all.
            self._take_end(self._exchange)

    def pause_writing(self) -> None:  # noqa: D102
        self._writable.clear()

    def resume_writing(self) -> None:  # noqa: D102
        self._writable.set()

    def _take(self, exchange: Http1Exchange) -> None:
        try:
            while not exchange.has_failed:
                event: Any = self._h11.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                exchange.received(event)
                if isinstance(event, h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError as error:
            self.fail(exchange, f"the target violated HTTP/1.1: {complaint(error)}")
            return
        if exchange.buffered > BUFFER and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _take_end(self, exchange: Http1Exchange) -> None:
        if self._h11.their_state is h11.SEND_RESPONSE:
            # No violation: the target may have closed an idle connection at this moment.
            self.fail(exchange, "the target closed the connection before it answered")
        else:
            self._h11.receive_data(b"")
            self._take(exchange)

    # The end.

    def _idle(self) -> None:
        if self._exchange is None:
            self._close()

    def _leave(self) -> None:
        if self.is_usable:
            self.is_usable = False
            if self.watcher is not None:
                self.watcher.gone(self)

    def _abort(self) -> None:
        """Close the socket at once: the target sees that the request is given up."""
        self._leave()
        self._transport.abort()

    def _close(self) -> None:
        self._leave()
        self._transport.close()


def _is_cut_off(transport: asyncio.Transport) -> bool:
    """Return whether a connection over TLS has ended without being closed."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return False
    try:
        # After the end of TLS there is nothing more to read, and else there might be.
        return bool(tls.read(1))
    except ssl.SSLZeroReturnError:
        return False  # and our own end has been sent, too
    except ssl.SSLError:
        return True
