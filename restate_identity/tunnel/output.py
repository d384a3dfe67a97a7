"""The sending half of a connection: respects flow-control windows, batches writes, and bounds the backlog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import h2.connection
import h2.exceptions
from h2.errors import ErrorCodes

from restate_identity.tunnel.floods import MAX_FRAME_SIZE
from restate_identity.tunnel.frames import GoAway
from restate_identity.tunnel.turns import Turns

# How many bytes may wait in the socket's buffer before responses are held back.
SOCKET_BUFFER = 256 * 1024
# Other frames, such as answers to pings, are not held back; if more than this waits, the connection ends.
MAX_UNREAD = 4 * 1024 * 1024

Headers = Sequence[tuple[bytes, bytes]]


class Output:
    """The sending half of one connection. It sends nothing before `attach` and after `shut`.

    Args:
        connection: Tracks the state of each stream and the flow-control windows.
        on_unread: Called when more than `MAX_UNREAD` bytes wait because the other side does not read.
    """

    def __init__(self, connection: h2.connection.H2Connection, *, on_unread: Callable[[], None]) -> None:
        self._h2 = connection
        self._on_unread = on_unread
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._flushing = False
        self._unflushed = 0
        self.turns: Turns = Turns(connection, lambda: self._paused)

    def attach(self, transport: asyncio.Transport) -> None:
        """Start sending on *transport*."""
        transport.set_write_buffer_limits(high=SOCKET_BUFFER)
        self._transport = transport

    def shut(self) -> None:
        """Stop sending."""
        self._transport = None
        self.turns.release_all()

    @property
    def open(self) -> bool:
        """Whether frames can be sent: after `attach` and before `shut`."""
        return self._transport is not None

    @property
    def paused(self) -> bool:
        """Whether the socket's buffer is full at the moment. After the end it no longer is, for nobody waits then."""
        return self._paused and self.open

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        if not paused:
            self.turns.opened()

    @property
    def unsent(self) -> int:
        """The number of bytes that wait in the socket's buffer."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # One stream. These do nothing if the stream has ended.

    def headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Send response headers. The caller must have validated them."""
        if not self.open:
            return
        try:
            self._h2.send_headers(stream_id, headers, end_stream=end)
        except h2.exceptions.ProtocolError:
            return
        self.turns.release(stream_id)
        self.flush_soon(size_of(headers))

    def write(self, stream_id: int, data: memoryview, *, end: bool) -> int:
        """Send as much of *data* as the windows and the socket allow. With *end*, the last byte ends the stream.

        Returns:
            The number of bytes sent; the size of *data* if the stream has ended.
        """
        if not self.open:
            return len(data)
        sent, size = 0, len(data)
        try:
            while True:
                length = min(size - sent, self._h2.max_outbound_frame_size, MAX_FRAME_SIZE)
                if length:
                    length = min(length, self._h2.local_flow_control_window(stream_id))
                    if length <= 0 or self._paused:
                        return sent
                chunk = data[sent : sent + length]
                sent += length
                self._h2.send_data(stream_id, chunk, end_stream=end and sent == size)
                self.turns.release(stream_id)
                self.flush_soon(length)
                if sent == size:
                    return sent
        except (h2.exceptions.ProtocolError, KeyError):
            return size

    async def room(self, stream_id: int) -> None:
        """Wait until the stream may have room for `write`, or has ended."""
        if self.open:
            try:
                await self.turns.wait(stream_id)
            except h2.exceptions.ProtocolError:
                return

    def credit(self, stream_id: int, size: int) -> None:
        """Return *size* bytes to the flow-control window, because the application has consumed them."""
        if size and self.open:
            self._h2.acknowledge_received_data(size, stream_id)
            self.flush_soon()

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Send RST_STREAM with *code*."""
        if not self.open:
            return
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return
        self.flush_soon()

    # The connection.

    def ping(self, data: bytes) -> None:
        """Send a PING with eight bytes of *data*, which the answer repeats."""
        if self.open:
            self._h2.ping(data)
            self.flush()

    def goaway(self, goaway: GoAway) -> None:
        """Send a GOAWAY frame."""
        self.flush()
        if self._transport is not None:
            self._transport.write(goaway.encoded())

    def flush_soon(self, size: int = 0) -> None:
        """Send pending frames in the next iteration of the event loop, so that several are sent together.

        If they hold more than the socket's buffer should, send them now, so that `paused` says so.

        Args:
            size: How many bytes the caller has added to them.
        """
        self._unflushed += size
        if self._unflushed >= SOCKET_BUFFER:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send pending frames now."""
        self._flushing = False
        self._unflushed = 0
        if self._transport is None:
            return
        if data := self._h2.data_to_send():
            self._transport.write(data)
        if self._paused and self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._on_unread()


def size_of(headers: Headers) -> int:
    """Return how many bytes *headers* take at most, but for a few for each."""
    return sum(len(name) + len(value) for name, value in headers)
