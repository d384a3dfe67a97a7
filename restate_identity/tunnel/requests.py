"""The requests of one connection: hold, refuse, answer or pass each to the application, and track it until its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

import h2.events
from h2.errors import ErrorCodes

from restate_identity.asgi import ASGIApp, Scope
from restate_identity.tunnel.forwarded_path import forwarded_path
from restate_identity.tunnel.handshake import DRAIN_PATH, DRAINING_HEADER, HEALTH_PATH
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.output import Output
from restate_identity.tunnel.received import RequestReceived, StreamFault, TrailersReceived, WireEvent
from restate_identity.tunnel.request import asgi_scope, request_head, trailers_are_malformed
from restate_identity.tunnel.stream import ForwardedStream

Log = Callable[..., None]
"""A function that takes a log level, a message and its arguments."""


class Mode(Enum):
    """What to do with new requests."""

    REFUSE = "refuse"
    """Answer them with a 503 that lets the server send them elsewhere."""
    HOLD = "hold"
    """Hold them until the handshake is over."""
    SERVE = "serve"


class Requests:
    """All streams of a connection except the handshake stream.

    Args:
        output: The sending half of the connection.
        app: The application to serve.
        max_streams: The maximum number of streams that the server may have open.
        on_drain: Called when the server asks for this connection to be replaced.
        on_idle: Called whenever a request has ended and none is in flight.
        log: Logs refused and failed requests.
    """

    def __init__(
        self,
        output: Output,
        app: ASGIApp,
        *,
        max_streams: int,
        cancels: bool,
        on_drain: Callable[[], None],
        on_idle: Callable[[], None],
        log: Log,
    ) -> None:
        self._output = output
        self._app = app
        self._max_streams = max_streams
        self._cancels = cancels
        self._on_drain = on_drain
        self._on_idle = on_idle
        self._log = log
        # Streams that the application has not finished, or that are held until the handshake is over.
        self._streams: dict[int, ForwardedStream] = {}
        self._mode = Mode.REFUSE
        self._overloaded = False

    @property
    def in_flight(self) -> int:
        """The number of requests that the application has not finished, or that are held."""
        return len(self._streams)

    def switch(self, mode: Mode) -> None:
        """Set what to do with new requests from now on."""
        self._mode = mode

    def release(self) -> None:
        """Treat the held requests as the current mode says."""
        held, self._streams = self._streams, {}
        for stream in held.values():
            self._take(stream)

    def end(self) -> set[asyncio.Task[None]]:
        """Disconnect all streams, and return the tasks of the application's calls that are not done."""
        streams = list(self._streams.values())
        for stream in streams:
            stream.disconnected()
            if self._cancels and stream.task is not None:
                stream.task.cancel()
        return {stream.task for stream in streams if stream.task is not None}

    # Incoming events.

    def received(self, event: WireEvent) -> None:
        """Handle an event of a stream."""
        if isinstance(event, h2.events.DataReceived):
            self._data(event)
        elif isinstance(event, RequestReceived):
            request = request_head(event.headers, ended=event.ended)
            self._take(ForwardedStream(self._output, event.stream_id, request))
        elif isinstance(event, StreamFault):
            self._break_off(*event)
        elif isinstance(event, TrailersReceived):
            if trailers_are_malformed(event.headers):
                self._break_off(event.stream_id, ErrorCodes.PROTOCOL_ERROR, "its trailers are malformed")
            elif (stream := self._streams.get(event.stream_id)) is not None:
                stream.trailers = event.headers.fields
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            stream = self._streams.get(event.stream_id)
            if stream is None:
                return
            if isinstance(event, h2.events.StreamReset):
                self._drop(stream)
            else:
                stream.ended()
                self._check_length(stream)

    def _data(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        length = event.flow_controlled_length or 0
        if stream is None:
            self._output.credit(event.stream_id, length)
        else:
            stream.received(event.data or b"", length)
            self._check_length(stream)

    def _break_off(self, stream_id: int, code: ErrorCodes, reason: str) -> None:
        """Reset a stream because of an error in it; the others continue (RFC 9113, 5.4.2)."""
        self._output.reset(stream_id, code)
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.is_gone:
            self._log(logging.INFO, "resets a request: %s", reason)
            self._drop(stream)

    # Routing.

    def _take(self, stream: ForwardedStream) -> None:
        if self._mode is Mode.REFUSE:
            stream.answer(503, DRAINING_HEADER)
        elif self._mode is Mode.HOLD:
            self._streams[stream.stream_id] = stream
        else:
            self._route(stream)

    def _route(self, stream: ForwardedStream) -> None:
        request = stream.request
        path = request.target.partition(b"?")[0]
        if request.size > MAX_HEADER_LIST_SIZE:
            stream.answer(431)
        elif request.malformed:
            stream.answer(400)
        elif path == HEALTH_PATH:
            stream.answer(200)
        elif path == DRAIN_PATH:
            stream.answer(200)
            self._on_drain()
        else:
            self._serve(stream)

    def _serve(self, stream: ForwardedStream) -> None:
        try:
            forwarded = forwarded_path(stream.request.target)
        except ValueError as error:
            self._log(logging.WARNING, "answers 400: %s", error)
            stream.answer(400)
            return
        self._call(stream, asgi_scope(stream.request, forwarded))

    def _call(self, stream: ForwardedStream, scope: Scope) -> None:
        # The server may have max_streams open, and the application may still work on as many that were reset.
        if self.in_flight >= 2 * self._max_streams:
            if not self._overloaded:
                self._log(logging.WARNING, "refuses new requests: the application works on %d", self.in_flight)
            self._overloaded = True
            stream.refuse()
            return
        self._streams[stream.stream_id] = stream
        stream.task = asyncio.get_running_loop().create_task(stream.run(self._app, scope, self._forget))

    def _check_length(self, stream: ForwardedStream) -> None:
        if stream.has_another_length:
            reason = "the length of its body differs from its content-length"
            self._break_off(stream.stream_id, ErrorCodes.PROTOCOL_ERROR, reason)

    def _drop(self, stream: ForwardedStream) -> None:
        stream.disconnected()
        if stream.started:
            if self._cancels and stream.task is not None:
                stream.task.cancel()
        else:
            # The application was never called, so nothing has to be disconnected.
            if stream.task is not None:
                stream.task.cancel()
            self._forget(stream)

    def _forget(self, stream: ForwardedStream) -> None:
        self._streams.pop(stream.stream_id, None)
        self._overloaded = self._overloaded and self.in_flight > self._max_streams
        if not self._streams:
            self._on_idle()
