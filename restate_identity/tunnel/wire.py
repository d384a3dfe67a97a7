"""HTTP/2 on a socket that we dialled, with us as the server: the receiving half, and the end of the connection.

This module does not interpret the streams. Both directions are bounded. Flow-control windows bound incoming data; they
reopen only when the application has read it (`Output.credit`). `Output.write` bounds outgoing data: it takes no more
than the other side's windows and the socket have room for.

h2 tracks the state of each stream and the windows. Header blocks are decoded here; see
`restate_identity.tunnel.header_blocks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from hpack import HPACKError

from restate_identity._quoting import quoted
from restate_identity.tunnel.floods import MAX_EMPTY_DATA, MAX_FRAME_SIZE, FloodError, FloodGauge
from restate_identity.tunnel.frames import PREFACE_SIZE, FrameError, FrameReader, GoAway, HeaderBlock, StreamFlood
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE, HeaderDecoder, PlainEncoder, stand_in
from restate_identity.tunnel.output import Output
from restate_identity.tunnel.received import RequestReceived, StreamFault, TrailersReceived, WireEvent
from restate_identity.tunnel.timings import TunnelTimings


class Wire(asyncio.Protocol):
    """The asyncio protocol of one connection.

    Args:
        on_made: Called when the connection is established, with TLS and HTTP/2.
        on_event: Called with each event of h2, except for changes of windows and settings, which are handled here.
            Headers arrive as `RequestReceived` and `TrailersReceived`.
        on_goaway: Called with each GOAWAY from the other side.
        on_lost: Called once, with the reason, when nothing more can be sent or received. The reason is safe to log.
        timings: ``max_streams`` and the windows.

    Attributes:
        output: The sending half.
        heard_at: When data last arrived, in the event loop's time.
    """

    _PREFACE = PREFACE_SIZE

    def __init__(
        self,
        *,
        on_made: Callable[[], None],
        on_event: Callable[[WireEvent], None],
        on_goaway: Callable[[GoAway], None],
        on_lost: Callable[[str], None],
        timings: TunnelTimings,
    ) -> None:
        self._on_made = on_made
        self._on_event = on_event
        self._on_goaway = on_goaway
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._floods = FloodGauge()
        self._reader = FrameReader(self._floods.frame, preface=self._PREFACE)
        self._header_decoder = HeaderDecoder()
        self._h2 = self._side(timings)
        self._connection_window = timings.connection_window
        self._closed = asyncio.Event()
        self._lost = False
        self.output: Output = Output(self._h2, on_unread=self._unread)
        self.heard_at: float = 0.0

    def _side(self, timings: TunnelTimings) -> h2.connection.H2Connection:
        return h2_side(timings, client=False)

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        self._transport = transport
        self.output.attach(transport)
        self._h2.initiate_connection()
        if more := self._connection_window - self._h2.inbound_flow_control_window:
            self._h2.increment_flow_control_window(more)
        self.output.flush()
        self._on_made()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if not self.output.open:
            return
        self.heard_at = asyncio.get_running_loop().time()
        self._floods.at(self.heard_at)
        try:
            for part in self._reader.split(data):
                self._part_received(part)
        except FloodError as flood:
            self.end(ErrorCodes.ENHANCE_YOUR_CALM, f"the server sent {flood}")
        except HPACKError:
            self.end(ErrorCodes.COMPRESSION_ERROR, "the server sent a header block that cannot be read")
        except FrameError as error:
            self.end(ErrorCodes.PROTOCOL_ERROR, f"the server violated HTTP/2: {error}")
        except h2.exceptions.ProtocolError as error:
            # h2 has already prepared a GOAWAY with the error.
            self.output.flush()
            self._lose(f"the server violated HTTP/2: {quoted(str(error))}")
            self._close()
        except Exception as error:  # noqa: BLE001 (unexpected input may end this connection, but nothing else)
            # The error's text may quote anything, even the auth token.
            reason = f"what the server sent could not be handled ({type(error).__name__})"
            self.end(ErrorCodes.INTERNAL_ERROR, reason)
        self.output.flush_soon()

    def pause_writing(self) -> None:  # noqa: D102
        self.output.paused = True

    def resume_writing(self) -> None:  # noqa: D102
        self.output.paused = False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        self._lose(f"the connection broke: {error}" if error else "the server closed the connection")
        self._closed.set()

    # Incoming frames.

    def _part_received(self, part: bytes | GoAway | HeaderBlock | StreamFlood) -> None:
        if isinstance(part, GoAway):
            self._on_goaway(part)
        elif isinstance(part, HeaderBlock):
            self._headers_received(part)
        elif isinstance(part, StreamFlood):
            reason = f"more than {MAX_EMPTY_DATA} empty DATA frames in a second"
            self._on_event(StreamFault(part.stream_id, ErrorCodes.ENHANCE_YOUR_CALM, reason))
        else:
            for event in self._h2.receive_data(part):
                self._received(event)

    def _received(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.output.turns.all_opened()
        elif not isinstance(event, h2.events.WindowUpdated):
            self._on_event(event)
        elif event.stream_id:
            self.output.turns.stream_opened(event.stream_id)
        else:
            self.output.turns.opened()

    def _headers_received(self, block: HeaderBlock) -> None:
        # Decode every block, even if its stream is ignored, because later blocks refer to it.
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
                self._on_event(StreamFault(stream_id, ErrorCodes.PROTOCOL_ERROR, "its trailers do not end the stream"))

    # The end.

    def end(self, code: ErrorCodes, reason: str) -> None:
        """Send a GOAWAY with *code*, report *reason* to *on_lost*, and close the socket after the pending frames."""
        self.output.goaway(GoAway(self._h2.highest_inbound_stream_id, code))
        self._lose(reason)
        self._close()

    def abort(self) -> None:
        """Close the socket at once."""
        self.output.shut()
        if self._transport is None:
            self._closed.set()
        else:
            self._transport.abort()

    async def gone(self, *, within: float) -> None:
        """Wait until the socket is closed, for at most *within* seconds; abort it after half of that time."""
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({closed}, timeout=within / 2)
            self.abort()
            await asyncio.wait({closed}, timeout=within / 2)
        finally:
            closed.cancel()

    def _close(self) -> None:
        if self._transport is None:
            self._closed.set()
        elif not self._transport.is_closing():
            self._transport.close()

    def _unread(self) -> None:
        self._lose("the other side does not read what it is sent")
        self.abort()

    def _lose(self, reason: str) -> None:
        self.output.shut()
        if not self._lost:
            self._lost = True
            self._on_lost(reason)


def h2_side(timings: TunnelTimings, *, client: bool) -> h2.connection.H2Connection:
    """Return the state of an HTTP/2 connection, with the windows and limits of *timings*."""
    # `restate_identity.tunnel.request` checks incoming headers, and `response` those that the application sends.
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(
            client_side=client,
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
    if client:
        settings[h2.settings.SettingCodes.ENABLE_PUSH] = 0
    connection.local_settings = h2.settings.Settings(client=client, initial_values=settings)
    connection.max_inbound_frame_size = MAX_FRAME_SIZE
    connection.encoder = PlainEncoder()
    return connection
