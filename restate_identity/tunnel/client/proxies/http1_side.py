"""An HTTP/1.1 connection to a remote proxy: one request after another, and both bodies of each at the same time.

h11 reads and writes the messages. What could be read in two ways, and so hide a second request in the body of the first
one, ends the connection: h11 refuses most of it, and `request_of` a length beside a transfer-encoding.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11

from restate_identity.tunnel.client.proxies.http1_call import Http1Call
from restate_identity.tunnel.client.proxies.http1_request import request_of, trailers_of
from restate_identity.tunnel.client.proxies.patience import PIECE
from restate_identity.tunnel.client.proxies.side import Owner
from restate_identity.tunnel.client.tcp import reset
from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE

# How many bytes may wait: in the socket's buffer, of a body until it is read, and of the next requests.
BUFFER = 256 * 1024
# How long we read on after a response that needed no more of the request: closing at once could lose the response.
_LINGER = 2.0
# How long at most, while the client goes on sending.
_LINGER_AT_MOST = 30.0
_COMPLETE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


class Http1Side(asyncio.Protocol):
    """See `Side`. It is used once it has its transport. A client that closes its end has gone: nobody reads a response.

    Args:
        owner: Who has accepted the connection.
    """

    _transport: asyncio.Transport

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_LIST_SIZE)
        self._call: Http1Call | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lingers = Deadline()
        self._lingers_until = 0.0
        self._idle_since = self._loop.time()
        self._head_since: float | None = None

    # What the owner asks and does.

    @property
    def idle_since(self) -> float | None:
        """See `Side.idle_since`."""
        return self._idle_since if self._call is None and not self._lingers.is_set else None

    @property
    def head_since(self) -> float | None:
        """See `Side.head_since`."""
        return self._head_since

    def leave(self) -> None:
        """See `Side.leave`. Lingering ends by itself."""
        if self.idle_since is not None:
            self._transport.close()

    def abort(self) -> None:
        """See `Side.abort`."""
        self._transport.abort()

    # What the call does.

    @property
    def takes_chunks(self) -> bool:
        """Whether a body may be sent in chunks, so that its end is seen: not in HTTP/1.0."""
        return self._h11.their_http_version == b"1.1"

    async def write(self, event: h11.Event) -> None:
        """Send a part of the response; return when the socket has taken it."""
        if isinstance(event, h11.Response) and self._owner.is_draining:
            event = h11.Response(status_code=event.status_code, headers=[*event.headers, (b"connection", b"close")])
        data = self._h11.send(event)
        if data and not self._transport.is_closing():
            self._transport.write(data)
        await self._writable.wait()

    def continue_(self) -> None:
        """Ask the client for the body, if it waits for that (RFC 9110, 10.1.1)."""
        if self._h11.they_are_waiting_for_100_continue:
            self._transport.write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")

    def read_on(self) -> None:
        """Read from the socket again."""
        self._transport.resume_reading()

    def over(self, call: Http1Call, *, complete: bool) -> None:
        """Go on with the next request, or close the connection."""
        if self._call is not call:
            return
        self._call = None
        self._idle_since = self._loop.time()
        if not complete:
            # In HTTP/1.0 the end of the connection alone would look like the end of the body.
            reset(self._transport)
        elif self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._owner.is_draining:
            self._h11.start_next_cycle()
            if self._h11.trailing_data[0]:
                # The next head has begun to come before this response was complete.
                self._head_since = self._idle_since
            self.read_on()
            self._advance()
        elif self._h11.their_state in _COMPLETE:
            self._transport.close()
        else:
            self._linger()

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        # Close together, so that a slow reader is seen to read.
        transport.set_write_buffer_limits(high=BUFFER, low=BUFFER - PIECE)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._lingers.is_set:
            if self._loop.time() < self._lingers_until:
                self._lingers.set(_LINGER, self._transport.close)
            return
        self._h11.receive_data(data)
        if self._call is None and self._head_since is None:
            self._head_since = self._loop.time()
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002, D102
        self._give_up()
        self._owner.closed(self)

    def pause_writing(self) -> None:  # noqa: D102
        self._writable.clear()

    def resume_writing(self) -> None:  # noqa: D102
        self._writable.set()

    # Incoming events.

    def _advance(self) -> None:
        try:
            # What comes after a complete request waits for the response, and is ignored if this was the last one.
            while self._call is None or self._h11.their_state not in _COMPLETE:
                event: Any = self._h11.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                self._received(event)
        except h11.RemoteProtocolError as error:
            self._malformed(error.error_status_hint)
            return
        waiting = len(self._h11.trailing_data[0]) + (self._call.buffered if self._call is not None else 0)
        if waiting > BUFFER:
            self._transport.pause_reading()

    def _received(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._head_since = None
            self._call = call = Http1Call(self, request_of(event))
            call.task = self._loop.create_task(call.run(self._owner.serve))
        elif self._call is None:
            return
        elif isinstance(event, h11.Data):
            self._call.received(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self._call.ended(trailers_of(event))

    def _malformed(self, status: int) -> None:
        """Answer that the request cannot be read, unless a response was begun, and close."""
        self._give_up()
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.abort()
            return
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        self._transport.write(self._h11.send(h11.Response(status_code=status, headers=headers)) or b"")
        self._linger()

    # The end.

    def _give_up(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.task is not None:
            call.task.cancel()

    def _linger(self) -> None:
        self._head_since = None
        self.read_on()
        self._transport.write_eof()
        self._lingers_until = self._loop.time() + _LINGER_AT_MOST
        self._lingers.set(_LINGER, self._transport.close)
