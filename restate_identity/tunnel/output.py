"""What a connection sends: responses within the windows, in batches, and no more than the other side reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import h2.connection
import h2.exceptions
from h2.errors import ErrorCodes

from restate_identity.tunnel.floods import MAX_FRAME_SIZE
from restate_identity.tunnel.frames import GoAway
from restate_identity.tunnel.turns import Turns

# So much may wait in the socket's buffer before nothing more is added to it.
SOCKET_BUFFER = 256 * 1024
# What is not held back by that, answers to pings for instance, ends the connection when it comes to this.
MAX_UNREAD = 4 * 1024 * 1024

Headers = Sequence[tuple[bytes, bytes]]


class Output:
    """The sending half of one connection; it does nothing before `attach` and after `shut`.

    Args:
        connection: Keeps the states of the streams, and the windows.
        on_unread: Called when the other side reads nothing of what it has asked for.
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
        """Send on *transport* from now on."""
        transport.set_write_buffer_limits(high=SOCKET_BUFFER)
        self._transport = transport

    def shut(self) -> None:
        """Send nothing more."""
        self._transport = None
        self.turns.release_all()

    @property
    def open(self) -> bool:
        """Whether anything can be sent."""
        return self._transport is not None

    @property
    def paused(self) -> bool:
        """Whether the socket takes no more at the moment."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        if not paused:
            self.turns.connection_opened()

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # Of one stream. Nothing happens to one that is gone.

    def headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Send response headers, which must be valid ones."""
        if not self.open:
            return
        try:
            self._h2.send_headers(stream_id, headers, end_stream=end)
        except h2.exceptions.ProtocolError:
            return
        self.flush_soon()

    def write(self, stream_id: int, data: memoryview, *, end: bool) -> int:
        """Send as much of *data* as there is room for, and the end of the stream after the last of it.

        Returns:
            How many bytes were sent; on a stream that is gone, all.
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
                self._unflushed += length
                if self._unflushed >= SOCKET_BUFFER:
                    self.flush()
                else:
                    self.flush_soon()
                if sent == size:
                    return sent
        except (h2.exceptions.ProtocolError, KeyError):
            return size

    async def room(self, stream_id: int) -> None:
        """Wait until there may be room to write, or the stream is gone."""
        if self.open:
            try:
                await self.turns.wait(stream_id)
            except h2.exceptions.ProtocolError:
                return

    def credit(self, stream_id: int, size: int) -> None:
        """Let the client send so many bytes more: those that it had sent were taken."""
        if size and self.open:
            self._h2.acknowledge_received_data(size, stream_id)
            self.flush_soon()

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End a stream early."""
        if not self.open:
            return
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return
        self.flush_soon()

    # Of the connection.

    def ping(self, data: bytes) -> None:
        """Send eight bytes, which are to come back."""
        if self.open:
            self._h2.ping(data)
            self.flush()

    def goaway(self, goaway: GoAway) -> None:
        """Announce that this connection takes no more streams."""
        self.flush()
        if self._transport is not None:
            self._transport.write(goaway.encoded())

    def flush_soon(self) -> None:
        """Send what is ready, with what else becomes ready until then."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send what is ready."""
        self._flushing = False
        self._unflushed = 0
        if self._transport is None:
            return
        if data := self._h2.data_to_send():
            self._transport.write(data)
        if self._paused and self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._on_unread()
