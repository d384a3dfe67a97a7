"""An HTTP/2 connection to a remote proxy, with prior knowledge, on the tunnel's wire: here too we are the server."""

from __future__ import annotations

import asyncio
import logging

import h2.events
from h2.errors import ErrorCodes

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.client.proxies.side import Owner
from restate_identity.tunnel.frames import GRACEFUL_GOAWAY
from restate_identity.tunnel.goodbye import Goodbye
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE, HeaderList
from restate_identity.tunnel.output import Output
from restate_identity.tunnel.received import RequestReceived, WireEvent
from restate_identity.tunnel.request import request_head
from restate_identity.tunnel.requests import Mode, Requests
from restate_identity.tunnel.stream import ForwardedStream
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.wire import Wire

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# There may be many callers, so each gets less than the tunnel server.
TIMINGS = TunnelTimings(max_streams=1024, stream_window=256 * 1024)
_REQUEST = "restate_identity.tunnel.client.request"


class Http2Side:
    """See `Side`.

    Args:
        owner: Who has accepted the connection.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._idle_since: float | None = self._loop.time()
        self._leaves = False
        self.protocol: Wire = Wire(
            on_made=lambda: None,
            on_event=self._received,
            on_goaway=lambda _: None,
            on_lost=self._lost,
            timings=TIMINGS,
        )
        self._requests = _ProxiedRequests(self.protocol.output, owner, on_idle=self._idle)
        self._goodbye = Goodbye(
            self.protocol,
            patience=TIMINGS.farewell,
            is_idle=lambda: not self._requests.in_flight,
            on_seen=self._end,
            on_silence=self._end,
        )

    @property
    def idle_since(self) -> float | None:
        """See `Side.idle_since`."""
        return None if self._requests.in_flight else self._idle_since

    @property
    def head_since(self) -> float | None:
        """See `Side.head_since`. A head that is incomplete does not count as a request, so the connection is idle."""
        return None

    def leave(self) -> None:
        """See `Side.leave`. Requests that are on their way are still answered."""
        self._leaves = True
        self.protocol.output.goaway(GRACEFUL_GOAWAY)
        self._goodbye.say_if_idle()

    def abort(self) -> None:
        """See `Side.abort`."""
        self.protocol.end(ErrorCodes.NO_ERROR, "the proxy stops")
        self.protocol.abort()

    def _received(self, event: WireEvent) -> None:
        if isinstance(event, h2.events.PingAckReceived):
            self._goodbye.answered()
        else:
            self._requests.received(event)

    def _idle(self) -> None:
        self._idle_since = self._loop.time()
        if self._leaves:
            self._goodbye.say_if_idle()

    def _end(self) -> None:
        self.protocol.end(ErrorCodes.NO_ERROR, "no request is in flight any more")

    def _lost(self, reason: str) -> None:
        logger.debug("tunnel client: a connection to a remote proxy ended: %s", reason)
        self._goodbye.cancel()
        self._requests.end()
        self._owner.closed(self)


class _ProxiedRequests(Requests):
    """The requests of one connection. They have no prefix, and there are no control paths."""

    def __init__(self, output: Output, owner: Owner, *, on_idle: object) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await owner.serve(scope[_REQUEST], receive, send)

        super().__init__(
            output,
            app,
            max_streams=TIMINGS.max_streams,
            cancels=True,
            on_drain=lambda: None,
            on_idle=on_idle,  # type: ignore[arg-type]
            log=logger.log,
        )
        self.switch(Mode.SERVE)

    def received(self, event: WireEvent) -> None:
        """Handle an event of a stream."""
        if isinstance(event, RequestReceived) and _names_two_hosts(event.headers):
            request = request_head(event.headers, ended=event.ended)._replace(malformed=True)
            self._take(ForwardedStream(self._output, event.stream_id, request))
        else:
            super().received(event)

    def _route(self, stream: ForwardedStream) -> None:
        request = stream.request
        if request.size > MAX_HEADER_LIST_SIZE:
            stream.answer(431)
        elif request.malformed:
            stream.answer(400)
        else:
            if (b"expect", b"100-continue") in request.headers:
                self._output.headers(stream.stream_id, [(b":status", b"100")])
            path = request.target.decode("latin-1")
            self._call(stream, {"path": path, _REQUEST: request})


def _names_two_hosts(headers: HeaderList) -> bool:
    """Return whether ``:authority`` and ``host`` differ: one may be checked, and the other one be used."""
    hosts = {value for name, value in headers.fields if name in (b":authority", b"host")}
    return len(hosts) > 1
