"""HTTP/2 on a connection to a target, with us as the client: the tunnel's wire, with the roles not flipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.connection
import h2.events
from h2.errors import ErrorCodes

from restate_identity.tunnel.frames import FrameError, HeaderBlock
from restate_identity.tunnel.header_blocks import HeaderList, stand_in
from restate_identity.tunnel.output import size_of
from restate_identity.tunnel.received import ResponseReceived, StreamFault, TrailersReceived
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.wire import Wire, h2_side


class ClientWire(Wire):
    """A `Wire` on which we open the streams.

    Args:
        awaits_head: Returns whether a stream is open and its response has not begun.
        on_settings: Called when the target has sent settings, at least once on every connection.
        on_room: Called when the socket's buffer, which was full, has room again.
        callbacks: Those of `Wire`. Instead of `RequestReceived` there is `ResponseReceived`.
    """

    _PREFACE = 0

    def __init__(
        self,
        *,
        awaits_head: Callable[[int], bool],
        on_settings: Callable[[], None],
        on_room: Callable[[], None],
        timings: TunnelTimings,
        **callbacks: Any,
    ) -> None:
        super().__init__(timings=timings, **callbacks)
        self._awaits_head = awaits_head
        self._on_settings = on_settings
        self._on_room = on_room

    @property
    def most_streams(self) -> int:
        """How many streams the target allows to be open; none while it does not read: heads would pile up here."""
        return 0 if self.output.paused else self._h2.remote_settings.max_concurrent_streams

    @property
    def next_stream_id(self) -> int:
        """The id of the next stream that we open."""
        return self._h2.highest_outbound_stream_id + 2 if self._h2.highest_outbound_stream_id else 1

    def open(self, headers: list[tuple[bytes, bytes]], *, end: bool) -> int:
        """Open a stream with *headers*, pseudo-headers first, and return its id."""
        stream_id = self.next_stream_id
        # The target may reset it without having sent a header block.
        self._floods.stream_opened()
        self._h2.send_headers(stream_id, headers, end_stream=end)
        self.output.flush_soon(size_of(headers))
        return stream_id

    def resume_writing(self) -> None:  # noqa: D102 (a callback of asyncio)
        super().resume_writing()
        self._on_room()

    def _side(self, timings: TunnelTimings) -> h2.connection.H2Connection:
        return h2_side(timings, client=True)

    def _received(self, event: h2.events.Event) -> None:
        super()._received(event)
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._on_settings()

    def _headers_received(self, block: HeaderBlock) -> None:
        # Decode every block, even if its stream is ignored, because later blocks refer to it.
        headers = self._header_decoder.decode(block.data)
        stream_id = block.stream_id
        if not stream_id % 2 or stream_id > self._h2.highest_outbound_stream_id:
            raise FrameError("headers on a stream that the server may not open")
        opens = self._awaits_head(stream_id)
        if opens and not block.ends_stream and _is_informational(headers):
            return
        # Trailers that do not end the stream are an error of this stream only.
        for event in self._h2.receive_data(stand_in(stream_id, ends_stream=block.ends_stream or not opens)):
            if isinstance(event, h2.events.ResponseReceived):
                self._on_event(ResponseReceived(stream_id, headers))
            elif not isinstance(event, h2.events.TrailersReceived):
                self._on_event(event)
            elif block.ends_stream:
                self._on_event(TrailersReceived(stream_id, headers))
            else:
                self._on_event(StreamFault(stream_id, ErrorCodes.PROTOCOL_ERROR, "its trailers do not end the stream"))


def _is_informational(headers: HeaderList) -> bool:
    name, value = headers.fields[0] if headers.fields else (b"", b"")
    return name == b":status" and len(value) == 3 and value[:1] == b"1" and value != b"101"
