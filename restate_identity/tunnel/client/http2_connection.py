"""An HTTP/2 connection to a target: opens streams on it, and retires it when the target says so or nobody needs it."""

from __future__ import annotations

import asyncio

import h2.events
from h2.errors import ErrorCodes

from restate_identity.tunnel.client.connection import Watcher
from restate_identity.tunnel.client.exchange import ExchangeError, RequestHead
from restate_identity.tunnel.client.http2_exchange import Http2Exchange
from restate_identity.tunnel.client.http2_wire import ClientWire
from restate_identity.tunnel.client.idleness import Idleness
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.frames import GoAway
from restate_identity.tunnel.received import ResponseReceived, StreamFault, TrailersReceived, WireEvent
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.watchdog import Watchdog

# Without a response in between. An instance may refuse everything; the next connection may get to another one.
_REFUSALS = 2


class Http2Connection:
    """See `TargetConnection`.

    Args:
        timings: Windows, and the intervals of the PINGs that find out whether the target is alive.
        limits: How long the connection is kept without requests, and how many it takes.
    """

    multiplexes = True

    def __init__(self, timings: TunnelTimings, limits: Limits) -> None:
        self.watcher: Watcher | None = None
        self.is_usable: bool = False
        self._exchanges: dict[int, Http2Exchange] = {}
        self._reason = "the connection to the target has ended"
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.protocol: ClientWire = ClientWire(
            awaits_head=self._awaits_head,
            on_settings=self._settings,
            on_room=self._has_room,
            on_made=lambda: None,
            on_event=self._received,
            on_goaway=self._goaway,
            on_lost=self._ended,
            timings=timings,
        )
        self._watchdog = Watchdog(timings, ping=self.protocol.output.ping, on_silence=self._silent)
        self._idleness = Idleness(limits.idle, self._idle)
        self._left = limits.requests
        self._refusals = 0

    async def ready(self) -> None:
        """Wait for the target's first frame, its settings: from then on it surely speaks HTTP/2.

        Raises:
            ConnectionAbortedError: The target ended the connection before, or together with that.
        """
        await self._greeted
        if not self.is_usable:
            raise ConnectionAbortedError(f"the target ended the connection at once ({self._reason})")

    @property
    def in_flight(self) -> int:
        """See `TargetConnection.in_flight`."""
        return len(self._exchanges)

    @property
    def most(self) -> int:
        """See `TargetConnection.most`."""
        return self.protocol.most_streams

    def open(self, head: RequestHead, scheme: str) -> Http2Exchange:
        """See `TargetConnection.open`."""
        fields = [
            (b":method", head.method),
            (b":scheme", scheme.encode()),
            (b":authority", head.authority),
            (b":path", head.path),
        ]
        fields += head.headers
        stream_id = self.protocol.open(fields, end=head.ended)
        exchange = Http2Exchange(self.protocol.output, stream_id, head, self._over)
        self._exchanges[stream_id] = exchange
        self._left -= 1
        if not self._left:
            self.retire("it has had enough requests")
        return exchange

    def retire(self, reason: str) -> None:
        """Take no more requests, and close the connection once those in flight have ended."""
        self._leave()
        if not self._exchanges:
            self._close(reason)

    async def gone(self, *, within: float) -> None:
        """See `TargetConnection.gone`."""
        self._close("the client stops")
        await self.protocol.gone(within=within)

    # Callbacks of the wire.

    def _settings(self) -> None:
        if not self._greeted.done():
            self._greeted.set_result(None)
            self.is_usable = True
            self._watchdog.start()
            self._idleness.begin()
        else:
            self._has_room()

    def _has_room(self) -> None:
        if self.watcher is not None:
            self.watcher.has_room(self)

    def _awaits_head(self, stream_id: int) -> bool:
        exchange = self._exchanges.get(stream_id)
        return exchange is not None and exchange.awaits_head

    def _received(self, event: WireEvent) -> None:
        if isinstance(event, h2.events.PingAckReceived):
            self._watchdog.answered()
            return
        exchange = self._exchanges.get(getattr(event, "stream_id", None) or 0)
        if exchange is None:
            return
        if isinstance(event, h2.events.DataReceived):
            exchange.data_received(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, ResponseReceived):
            self._refusals = 0
            exchange.head_received(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.ended()
        elif isinstance(event, TrailersReceived):
            exchange.trailers_received(event.headers)
        elif isinstance(event, StreamFault):
            exchange.broken(event.code, event.reason)
        elif isinstance(event, h2.events.StreamReset):
            if event.error_code == ErrorCodes.REFUSED_STREAM:
                self._refused()
            exchange.failed(_reset(event.error_code))

    def _refused(self) -> None:
        self._refusals += 1
        if self._refusals == _REFUSALS:
            self.retire("it refuses requests")

    def _goaway(self, goaway: GoAway) -> None:
        self._leave()
        for stream_id, exchange in list(self._exchanges.items()):
            if stream_id > goaway.last_stream_id:
                exchange.failed(ExchangeError("the target ended the connection (GOAWAY)", unprocessed=True))
        if not self._exchanges:
            self._close("the target ended the connection (GOAWAY)")

    def _ended(self, reason: str) -> None:
        self._reason = reason
        self._watchdog.stop()
        self._idleness.end()
        if not self._greeted.done():
            self._greeted.set_result(None)
        self._leave()
        for exchange in list(self._exchanges.values()):
            exchange.failed(ExchangeError(reason))

    def _silent(self, pings: int) -> None:
        self.protocol.end(ErrorCodes.NO_ERROR, f"the target did not answer {pings} pings in a row")
        self.protocol.abort()

    # The end.

    def _over(self, exchange: Http2Exchange) -> None:
        self._exchanges.pop(exchange.stream_id, None)
        if not self.is_usable:
            if not self._exchanges:
                self._close("no request is in flight any more")
            return
        if not self._exchanges:
            self._idleness.begin()
        self._has_room()

    def _idle(self) -> None:
        if not self._exchanges:
            self.retire("nobody has used it for a while")

    def _leave(self) -> None:
        if self.is_usable:
            self.is_usable = False
            if self.watcher is not None:
                self.watcher.gone(self)

    def _close(self, reason: str) -> None:
        self.protocol.end(ErrorCodes.NO_ERROR, reason)


def _reset(code: ErrorCodes | int | None) -> ExchangeError:
    code = ErrorCodes.INTERNAL_ERROR if code is None else code
    name = code.name if isinstance(code, ErrorCodes) else f"{code:#x}"
    return ExchangeError(
        f"the target reset the request ({name})",
        unprocessed=code == ErrorCodes.REFUSED_STREAM,
        # A reset without an error would look like a clean end.
        code=ErrorCodes.INTERNAL_ERROR if code == ErrorCodes.NO_ERROR else code,
    )
