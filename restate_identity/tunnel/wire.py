"""HTTP/2 on a socket that we dialled, where we are the server: frames, flow control and batched writes.

What the streams mean is not known here. Both directions are bounded: what arrives by the windows, which are opened
again only when somebody takes the data (`Wire.credit`); what leaves by `Wire.write`, which takes only as much as the
other side's windows and the socket have room for.

h2 keeps the states of the streams and the windows. Header blocks are decoded here, see
`restate_identity.tunnel.header_blocks`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hpack import HPACKError

from restate_identity._quoting import quoted
from restate_identity.tunnel.floods import MAX_EMPTY_DATA, MAX_FRAME_SIZE, FloodError, FloodGauge
from restate_identity.tunnel.frames import FrameError, FrameReader, GoAway, HeaderBlock, StreamFlood
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE, HeaderDecoder, HeaderList, stand_in
from restate_identity.tunnel.timings import TunnelTimings

# So much may wait in the socket's buffer before nothing more is added to it.
SOCKET_BUFFER = 256 * 1024
# What is not held back by that, answers to pings for instance, ends the connection when it comes to this.
MAX_UNREAD = 4 * 1024 * 1024

# At the level DEBUG hpack writes every header field down: our auth token, and the identities of requests. Who wants
# that can still ask these loggers for it by name.
for _hpack_logger in (logging.getLogger("hpack.hpack"), logging.getLogger("hpack.table")):
    if _hpack_logger.level == logging.NOTSET:
        _hpack_logger.setLevel(logging.INFO)

Headers = Sequence[tuple[bytes, bytes]]


class RequestReceived(NamedTuple):
    """A stream was opened."""

    stream_id: int
    headers: HeaderList
    ended: bool
    """There is no body."""


class TrailersReceived(NamedTuple):
    """The last that the client sends on a stream; h2's StreamEnded follows."""

    stream_id: int
    headers: HeaderList


class StreamFault(NamedTuple):
    """What the client sent on a stream must cost it the stream, and no other one."""

    stream_id: int
    code: h2.errors.ErrorCodes
    """To reset it with."""
    reason: str
    """Safe to log."""


WireEvent = h2.events.Event | RequestReceived | TrailersReceived | StreamFault


class Wire(asyncio.Protocol):
    """The protocol of one connection.

    Args:
        on_made: Is told when the connection stands, TLS and HTTP/2 agreed upon.
        on_event: Is given what h2 reports, except for windows and settings, which are seen to here. Headers come as
            `RequestReceived` and `TrailersReceived`.
        on_goaway: Is given each GOAWAY of the other side.
        on_lost: Is told, once, why nothing more can be sent or received. Safe to log.
        timings: ``max_streams`` and the windows.
    """

    def __init__(
        self,
        *,
        on_made: Callable[[], None],
        on_event: Callable[[WireEvent], None],
        on_goaway: Callable[[GoAway], None],
        on_lost: Callable[[str], None],
        timings: TunnelTimings = TunnelTimings(),  # noqa: B008 (frozen)
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_made = on_made
        self._on_event = on_event
        self._on_goaway = on_goaway
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self.floods: FloodGauge = FloodGauge()
        self._reader = FrameReader(self.floods.frame)
        self._header_decoder = HeaderDecoder()
        # What comes and what the application sends is checked in `restate_identity.tunnel.stream`.
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        settings = {
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: timings.max_streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: timings.stream_window,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_SIZE,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_SIZE,
        }
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values=settings)
        self._connection_window = timings.connection_window
        self._h2.max_inbound_frame_size = MAX_FRAME_SIZE
        self._paused = False
        self._flushing = False
        self._unflushed = 0
        # Who waits for room: for that of their stream, and in order, for that of the connection.
        self._waiting_for_stream: dict[int, asyncio.Future[None]] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.closed: asyncio.Event = asyncio.Event()
        """Is set when the socket is gone."""
        self.open: bool = False
        """Whether anything can be sent."""
        self.heard_at: float = 0.0
        """When, by the loop's clock, something came last."""
        self._lost = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and (protocol := tls.selected_alpn_protocol()) != "h2":
            self._lose(
                f"the server does not agree to speak HTTP/2 (ALPN 'h2', it chose {quoted(protocol or 'nothing')}): "
                "it is not a tunnel server, or a proxy that inspects TLS stands in between"
            )
            transport.abort()
            return
        transport.set_write_buffer_limits(high=SOCKET_BUFFER)
        self.open = True
        self._h2.initiate_connection()
        if more := self._connection_window - self._h2.inbound_flow_control_window:
            self._h2.increment_flow_control_window(more)
        self._flush()
        self._on_made()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if not self.open:
            return
        self.heard_at = self._loop.time()
        self.floods.at(self.heard_at)
        try:
            for part in self._reader.split(data):
                if isinstance(part, GoAway):
                    self._on_goaway(part)
                elif isinstance(part, HeaderBlock):
                    self._headers_received(part)
                elif isinstance(part, StreamFlood):
                    reason = f"more than {MAX_EMPTY_DATA} empty DATA frames in a second"
                    self._on_event(StreamFault(part.stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, reason))
                else:
                    for event in self._h2.receive_data(part):
                        if isinstance(event, h2.events.WindowUpdated):
                            self._opened(event.stream_id)
                        elif isinstance(event, h2.events.RemoteSettingsChanged):
                            self._opened(None)
                        else:
                            self._on_event(event)
        except FloodError as flood:
            self.end(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, f"the server sent {flood}")
        except HPACKError:
            self.end(h2.errors.ErrorCodes.COMPRESSION_ERROR, "the server sent a header block that cannot be read")
        except FrameError as error:
            self.end(h2.errors.ErrorCodes.PROTOCOL_ERROR, f"the server broke the rules of HTTP/2: {error}")
        except h2.exceptions.ProtocolError as error:
            # h2 has prepared the GOAWAY that says so.
            self._lose(f"the server broke the rules of HTTP/2: {quoted(str(error))}")
            self.close()
        except Exception as error:  # noqa: BLE001 (whatever the bytes were, only this connection pays)
            # Its text may quote anything, the auth token too.
            reason = f"what the server sent could not be handled ({type(error).__name__})"
            self.end(h2.errors.ErrorCodes.INTERNAL_ERROR, reason)
        self._flush_soon()

    def _headers_received(self, block: HeaderBlock) -> None:
        # Each block is decoded, whatever becomes of it: those that follow refer to it.
        headers = self._header_decoder.decode(block.data)
        stream_id = block.stream_id
        opens = stream_id > self._h2.highest_inbound_stream_id
        for event in self._h2.receive_data(stand_in(stream_id, ends_stream=block.ends_stream or not opens)):
            if isinstance(event, h2.events.RequestReceived):
                self._on_event(RequestReceived(stream_id, headers, block.ends_stream))
            elif not isinstance(event, h2.events.TrailersReceived):
                self._on_event(event)
            elif block.ends_stream:
                self._on_event(TrailersReceived(stream_id, headers))
            else:
                code = h2.errors.ErrorCodes.PROTOCOL_ERROR
                self._on_event(StreamFault(stream_id, code, "its trailers are not its end"))

    def pause_writing(self) -> None:  # noqa: D102
        self._paused = True

    def resume_writing(self) -> None:  # noqa: D102
        self._paused = False
        self._wake_waiting()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        self._lose(f"the connection broke: {error}" if error else "the server closed the connection")
        self.closed.set()

    # What is sent.

    def headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Send response headers, which must be valid ones; nothing happens on a stream that is gone."""
        if not self.open:
            return
        try:
            self._h2.send_headers(stream_id, headers, end_stream=end)
        except h2.exceptions.ProtocolError:
            return
        self._flush_soon()

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
                    self._flush()
                else:
                    self._flush_soon()
                if sent == size:
                    return sent
        except (h2.exceptions.ProtocolError, KeyError):
            return size

    async def room(self, stream_id: int) -> None:
        """Wait until there may be room to write, or `release` is called."""
        if not self.open:
            return
        future = self._loop.create_future()
        try:
            blocked = self._h2.local_flow_control_window(stream_id) <= 0 < self._h2.outbound_flow_control_window
        except h2.exceptions.ProtocolError:
            return
        waiting = self._waiting_for_stream if blocked and not self._paused else self._waiting
        waiting[stream_id] = future
        try:
            await future
        finally:
            if waiting.get(stream_id) is future:
                del waiting[stream_id]

    def release(self, stream_id: int) -> None:
        """Have `room` return: the stream is gone."""
        for waiting in (self._waiting_for_stream, self._waiting):
            _wake(waiting.pop(stream_id, None))

    @property
    def paused(self) -> bool:
        """Whether the socket takes no more at the moment."""
        return self._paused

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        return self._transport.get_write_buffer_size() if self.open and self._transport is not None else 0

    def credit(self, stream_id: int, size: int) -> None:
        """Let the client send so many bytes more: those that it had sent were taken."""
        if size and self.open:
            self._h2.acknowledge_received_data(size, stream_id)
            self._flush_soon()

    def reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        """End a stream early; nothing happens to one that is gone."""
        if not self.open:
            return
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return
        self._flush_soon()

    def ping(self, data: bytes) -> None:
        """Send eight bytes, which are to come back."""
        if self.open:
            self._h2.ping(data)
            self._flush()

    def goaway(self, goaway: GoAway) -> None:
        """Announce that this connection takes no more streams."""
        if self.open and self._transport is not None:
            self._flush()
            self._transport.write(goaway.encoded())

    def end(self, code: h2.errors.ErrorCodes, reason: str) -> None:
        """Say goodbye for good, and why."""
        self.goaway(GoAway(self._h2.highest_inbound_stream_id, code))
        self._lose(reason)
        self.close()

    def close(self) -> None:
        """Send what is left, and close the socket."""
        if self._transport is None:
            self.closed.set()
        elif not self._transport.is_closing():
            self._write_out()
            self.open = False
            self._transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self.open = False
        if self._transport is None:
            self.closed.set()
        else:
            self._transport.abort()

    def _opened(self, stream_id: int | None) -> None:
        """Wake those who wait for a window that is larger now: of one stream, (0) of the connection, (None) of all."""
        if stream_id:
            _wake(self._waiting_for_stream.pop(stream_id, None))
            return
        if stream_id is None:
            _wake_all(self._waiting_for_stream)
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        # In order, and no more than can write: the others would only queue again, behind those who came later.
        room = self._h2.outbound_flow_control_window
        while self._waiting and room > 0 and not self._paused:
            stream_id = next(iter(self._waiting))
            _wake(self._waiting.pop(stream_id))
            room -= self._h2.max_outbound_frame_size
            if room <= 0 and self._waiting:
                # Some need less than that; whoever is left has a turn when they have written.
                self._loop.call_soon(self._wake_waiting)

    def _lose(self, reason: str) -> None:
        self.open = False
        _wake_all(self._waiting_for_stream)
        _wake_all(self._waiting)
        if not self._lost:
            self._lost = True
            self._on_lost(reason)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._unflushed = 0
        if not self.open:
            return
        self._write_out()
        assert self._transport is not None
        if self._paused and self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._lose("the server does not read what it asks for")
            self._transport.abort()

    def _write_out(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _wake_all(waiting: dict[int, asyncio.Future[None]]) -> None:
    for future in waiting.values():
        _wake(future)
    waiting.clear()
