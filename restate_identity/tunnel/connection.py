"""One dialled connection, from the dial to its end.

We dial, and then the roles flip: the server that we dialled is the HTTP/2 client, and we answer. Its first stream is
the handshake, the others are requests. The life of a connection is its one `ConnectionState`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import h2.events
from h2.errors import ErrorCodes

from restate_identity._quoting import quoted
from restate_identity.asgi import ASGIApp
from restate_identity.tunnel.forwarded_path import forwarded_path
from restate_identity.tunnel.frames import GRACEFUL_GOAWAY, GoAway
from restate_identity.tunnel.handshake import (
    DRAIN_PATH,
    DRAINING_HEADER,
    HEALTH_PATH,
    START_PATH,
    Credentials,
    Refusal,
    Serving,
    outcome,
)
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.leftovers import Leftovers
from restate_identity.tunnel.names import addresses
from restate_identity.tunnel.stream import ForwardedStream, Request, asgi_scope, request_head, trailers_are_malformed
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.ulids import new_ulid
from restate_identity.tunnel.wire import RequestReceived, StreamFault, TrailersReceived, Wire, WireEvent

__all__ = ["Connection", "ConnectionState", "Credentials", "Ending", "EndingKind", "Serving", "TunnelTimings"]

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

_REACH = "check the name of the server, and that this machine may open connections to it"
_WATCHDOG_PING = b"alive?.."
_LAST_PING = b"goodbye."


class ConnectionState(Enum):
    """Where a connection is in its life; it only ever moves down this list."""

    DIALLING = "dialling"
    HANDSHAKE = "handshake"
    SERVING = "serving"
    DRAINING = "draining"
    """The server wants another connection. It goes on using this one until it has that, and we go on serving."""
    LEAVING = "leaving"
    """Ends as soon as nothing is in flight: the server said that nothing more comes (GOAWAY), or we stop."""
    CLOSED = "closed"


class EndingKind(Enum):
    """What the end of a connection asks for."""

    FATAL = "fatal"
    """The whole tunnel must stop: dialling again cannot help."""
    RETRY = "retry"
    DRAINED = "drained"
    """The server asked for it, and has left, or the grace was over."""
    STOPPED = "stopped"
    """By `Connection.stop`."""


class Ending(NamedTuple):
    """How a connection ended."""

    kind: EndingKind
    reason: str
    """Safe to log; names the remedy when it is fatal."""
    served_for: float
    """Seconds in SERVING; 0.0 if it never served."""


class Connection:
    """One connection to one tunnel server.

    Args:
        target: What to dial.
        app: What to serve; it must verify every request by itself.
        identity: What to introduce ourselves with.
        timings: How long things may take, and how much may be in flight.
        tls: A context to use in place of the system's certificate authorities; its ALPN is set to ``h2``.
        leftovers: Takes over the calls of the application that outlive the connection.
        warns: Whether to log it as a WARNING if the connection fails before it has served well.
        on_serving: Called once, when the server has accepted us.
        on_drain: Called at most once, when the server wants to be rid of this connection: dial another.

    Attributes:
        state: Where it is in its life.
        connection_id: A ULID, new for each connection.
        serving: What the server answered; None before it did.
    """

    def __init__(
        self,
        target: Target,
        app: ASGIApp,
        *,
        identity: Credentials,
        timings: TunnelTimings = TunnelTimings(),  # noqa: B008 (frozen)
        tls: ssl.SSLContext | None = None,
        leftovers: Leftovers,
        warns: bool = False,
        on_serving: Callable[[Connection], None],
        on_drain: Callable[[Connection], None],
    ) -> None:
        self.target = target
        self.state: ConnectionState = ConnectionState.DIALLING
        self.connection_id: str = new_ulid()
        self.serving: Serving | None = None
        self._app = app
        self._identity = identity
        self._timings = timings
        self._tls = tls
        self._leftovers = leftovers
        self._warns = warns
        self._on_serving = on_serving
        self._on_drain = on_drain
        self._token = ""
        self._wire: Wire | None = None
        self._ending: Ending | None = None
        self._ended = asyncio.Event()
        self._stopping = False
        self._start_stream: int | None = None
        # Those that the application has not finished with, or that wait for the outcome of the handshake.
        self._streams: dict[int, ForwardedStream] = {}
        self._serving_since = 0.0
        self._served_for = 0.0
        self._goodbye_began = 0.0
        self._refuses = False
        self._unanswered_pings = 0
        self._ping_outstanding = False
        # One at a time: the deadline of the handshake, then the watchdog. And what a drain waits for.
        self._timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._goodbye_timer: asyncio.TimerHandle | None = None

    @property
    def served_for(self) -> float:
        """Seconds in SERVING, so far."""
        if self.state is ConnectionState.SERVING:
            return asyncio.get_running_loop().time() - self._serving_since
        return self._served_for

    @property
    def takes_requests(self) -> bool:
        """Whether what comes is served, and more may come."""
        return self.state in (ConnectionState.SERVING, ConnectionState.DRAINING)

    @property
    def in_flight(self) -> int:
        """How many requests the application has not finished with."""
        return len(self._streams)

    async def run(self) -> Ending:
        """Dial, introduce ourselves, serve until the end. Raises nothing but CancelledError."""
        try:
            await self._dial()
            await self._ended.wait()
            assert self._ending is not None
            await self._clean_up(self._ending)
            return self._ending
        except asyncio.CancelledError:
            self._end(EndingKind.STOPPED, "cancelled")
            self._abandon()
            raise

    def stop(self) -> None:
        """Say goodbye, refuse what is new, let what is in flight finish for up to ``timings.grace``."""
        if self._stopping or self.state is ConnectionState.CLOSED:
            return
        self._stopping = True
        if self.state in (ConnectionState.DIALLING, ConnectionState.HANDSHAKE):
            self._end(EndingKind.STOPPED, "stopped before it served")
            return
        self._set_grace(self._timings.grace)
        self._leave()

    # The dial.

    async def _dial(self) -> None:
        if self._ending is not None:
            return
        try:
            self._token = self._identity.read_token()
        except (OSError, ValueError) as error:
            self._end(EndingKind.RETRY, f"the auth token cannot be read: {error}", level=logging.WARNING)
            return
        dialling = asyncio.ensure_future(self._connect())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({dialling, ended}, timeout=self._timings.connect, return_when=asyncio.FIRST_COMPLETED)
            if not dialling.done():
                self._end(EndingKind.RETRY, f"no connection within {self._timings.connect:g} s: {_REACH}")
            elif (failure := dialling.exception()) is not None:
                self._end(EndingKind.RETRY, self._dial_failure(failure))
        finally:
            ended.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait({dialling})

    async def _connect(self) -> None:
        tls = self._tls
        if self.target.tls:
            tls = tls or ssl.create_default_context()
            tls.set_alpn_protocols(["h2"])
        failure: OSError | None = None
        for address in await addresses(self.target.host):
            try:
                await self._loop.create_connection(
                    self._connected,
                    address,
                    self.target.port,
                    ssl=tls if self.target.tls else None,
                    server_hostname=self.target.server_name if self.target.tls else None,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = failure or error
            else:
                return
        assert failure is not None
        raise failure

    def _dial_failure(self, error: BaseException) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the server is not {quoted(self.target.server_name)}: {error.verify_message}"
        return f"cannot connect: {error or type(error).__name__}: {_REACH}"

    def _connected(self) -> Wire:
        self._wire = Wire(
            on_made=self._made,
            on_event=self._event,
            on_goaway=self._goaway,
            on_lost=self._lost,
            timings=self._timings,
        )
        return self._wire

    def _made(self) -> None:
        if self._ending is not None:
            return
        self.state = ConnectionState.HANDSHAKE
        self._set_timer(self._timings.handshake, self._handshake_overdue)

    # What the wire reports.

    def _event(self, event: WireEvent) -> None:
        if self.state is ConnectionState.CLOSED:
            return
        if isinstance(event, h2.events.DataReceived):
            self._data(event)
        elif isinstance(event, RequestReceived):
            self._request(event.stream_id, request_head(event.headers, ended=event.ended))
        elif isinstance(event, h2.events.StreamEnded):
            self._stream_ended(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._reset(event.stream_id)
        elif isinstance(event, StreamFault):
            self._break_off(*event)
        elif isinstance(event, TrailersReceived):
            self._trailers(event)
        elif isinstance(event, h2.events.PingAckReceived):
            self._pong(event.ping_data)

    def _data(self, event: h2.events.DataReceived) -> None:
        assert self._wire is not None
        stream = self._streams.get(event.stream_id)
        length = event.flow_controlled_length or 0
        if stream is None:
            self._wire.credit(event.stream_id, length)
        else:
            stream.received(event.data or b"", length)
            self._check_length(stream)

    def _trailers(self, event: TrailersReceived) -> None:
        if event.stream_id == self._start_stream:
            if self.state is ConnectionState.HANDSHAKE:
                self._handshaken(outcome(event.headers.fields, self._identity.tunnel_name, self._token))
        elif trailers_are_malformed(event.headers):
            self._break_off(event.stream_id, ErrorCodes.PROTOCOL_ERROR, "its trailers are malformed")

    def _stream_ended(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.ended()
            self._check_length(stream)
        elif stream_id == self._start_stream and self.state is ConnectionState.HANDSHAKE:
            self._handshaken(outcome((), self._identity.tunnel_name))

    def _reset(self, stream_id: int) -> None:
        if stream_id == self._start_stream and self.state is ConnectionState.HANDSHAKE:
            self._end(EndingKind.RETRY, "the server reset the stream of the handshake")
            return
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._drop(stream)

    def _check_length(self, stream: ForwardedStream) -> None:
        if stream.has_another_length:
            reason = "its body has another length than its content-length"
            self._break_off(stream.stream_id, ErrorCodes.PROTOCOL_ERROR, reason)

    def _break_off(self, stream_id: int, code: ErrorCodes, reason: str) -> None:
        """End a stream because of what came on it; the others go on (RFC 9113, 5.4.2)."""
        assert self._wire is not None
        if stream_id == self._start_stream and self.state is ConnectionState.HANDSHAKE:
            self._end(EndingKind.RETRY, f"the stream of the handshake is malformed: {reason}")
            return
        self._wire.reset(stream_id, code)
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.is_gone:
            self._log(logging.INFO, "resets a request: %s", reason)
            self._drop(stream)

    def _drop(self, stream: ForwardedStream) -> None:
        stream.disconnected()
        if not stream.started:
            # Nobody has to be told, and nothing is left of it.
            if stream.task is not None:
                stream.task.cancel()
            self._forget(stream)

    def _goaway(self, goaway: GoAway) -> None:
        if self.state is ConnectionState.CLOSED:
            return
        if goaway.error_code != ErrorCodes.NO_ERROR or self.state is ConnectionState.HANDSHAKE:
            self._end(EndingKind.RETRY, f"the server ended the connection (GOAWAY, error code {goaway.error_code})")
        else:
            self._server_drains("GOAWAY")
            self._leave()

    def _lost(self, reason: str) -> None:
        if self.state in (ConnectionState.DRAINING, ConnectionState.LEAVING):
            if self._streams:
                reason = f"{reason}, with {len(self._streams)} requests in flight"
            self._end(self._own_ending, reason)
        else:
            self._end(EndingKind.RETRY, reason)

    # The handshake.

    def _request(self, stream_id: int, request: Request) -> None:
        assert self._wire is not None
        stream = ForwardedStream(self._wire, stream_id, request)
        if self.state is not ConnectionState.HANDSHAKE:
            self._route(stream)
        elif self._start_stream is not None:
            self._streams[stream_id] = stream  # waits for the outcome
        elif request.target.partition(b"?")[0] == START_PATH and request.method == "GET":
            self._start_stream = stream_id
            headers = self._identity.response_headers(self._token, self.connection_id)
            self._wire.headers(stream_id, headers, end=True)
        else:
            stream.answer(503, DRAINING_HEADER)

    def _handshaken(self, result: Serving | Refusal) -> None:
        self._token = ""
        if isinstance(result, Refusal):
            self._end(EndingKind.FATAL if result.fatal else EndingKind.RETRY, result.reason)
            return
        self.state = ConnectionState.SERVING
        self.serving = result
        self._serving_since = self._now()
        self._set_timer(self._timings.ping_every, self._watch)
        self._log(logging.INFO, "serves %s", quoted(result.tunnel_name))
        self._on_serving(self)
        waited, self._streams = self._streams, {}
        for stream in waited.values():
            self._route(stream)
        self._say_goodbye_if_idle()

    def _handshake_overdue(self) -> None:
        missing = "open the stream of the handshake" if self._start_stream is None else "say whether it accepts us"
        self._end(
            EndingKind.RETRY,
            f"the server did not {missing} within {self._timings.handshake:g} s: is it a tunnel server?",
        )

    # Requests.

    def _route(self, stream: ForwardedStream) -> None:
        request = stream.request
        path = request.target.partition(b"?")[0]
        if self._stopping:
            stream.answer(503, DRAINING_HEADER)
        elif request.size > MAX_HEADER_LIST_SIZE:
            stream.answer(431)
        elif request.malformed:
            stream.answer(400)
        elif path == HEALTH_PATH:
            stream.answer(200)
        elif path == DRAIN_PATH:
            stream.answer(200)
            self._server_drains(DRAIN_PATH.decode())
        else:
            self._serve(stream)

    def _serve(self, stream: ForwardedStream) -> None:
        try:
            forwarded = forwarded_path(stream.request.target)
        except ValueError as error:
            self._log(logging.WARNING, "answers 400: %s", error)
            stream.answer(400)
            return
        # As many as the server may have open, and as many again that it gave up and that the application goes on with.
        if self.in_flight >= 2 * self._timings.max_streams:
            if not self._refuses:
                self._log(logging.WARNING, "refuses requests: the application goes on with %d", self.in_flight)
            self._refuses = True
            stream.refuse()
            return
        self._streams[stream.stream_id] = stream
        scope = asgi_scope(stream.request, forwarded)
        stream.task = self._loop.create_task(stream.run(self._app, scope, self._forget))

    def _forget(self, stream: ForwardedStream) -> None:
        self._streams.pop(stream.stream_id, None)
        self._refuses = self._refuses and self.in_flight > self._timings.max_streams
        self._say_goodbye_if_idle()

    # The watchdog.

    def _watch(self) -> None:
        assert self._wire is not None
        self._ping_outstanding = True
        self._wire.ping(_WATCHDOG_PING)
        self._set_timer(self._timings.ping_answer, self._ping_overdue)

    def _pong(self, data: bytes) -> None:
        if data == _LAST_PING:
            self._goodbye_seen()
        elif self._ping_outstanding:
            self._ping_outstanding = False
            self._unanswered_pings = 0
            self._set_timer(self._timings.ping_every, self._watch)

    def _ping_overdue(self) -> None:
        self._ping_outstanding = False
        self._unanswered_pings += 1
        if self._unanswered_pings >= self._timings.missed_pings:
            self._give_up(EndingKind.RETRY, f"the server did not answer {self._unanswered_pings} pings in a row")
        else:
            self._set_timer(max(self._timings.ping_every - self._timings.ping_answer, 0), self._watch)

    # Draining, and leaving.

    def _server_drains(self, asked_by: str) -> None:
        if self.state is not ConnectionState.SERVING:
            return
        self._log(logging.INFO, "drains: the server asked for it (%s), %d requests in flight", asked_by, self.in_flight)
        self._served_for = self.served_for
        self.state = ConnectionState.DRAINING
        self._set_grace(self._timings.drain_grace)
        self._on_drain(self)

    def _leave(self) -> None:
        """End as soon as nothing is in flight, and tell the server so."""
        if self.state is ConnectionState.LEAVING:
            return
        assert self._wire is not None
        self._served_for = self.served_for
        self.state = ConnectionState.LEAVING
        self._wire.goaway(GRACEFUL_GOAWAY)
        self._say_goodbye_if_idle()

    def _say_goodbye_if_idle(self) -> None:
        """Wait until the server has seen that this is the end: what it sent before is here by then."""
        if self.state is not ConnectionState.LEAVING or self._streams or self._goodbye_timer is not None:
            return
        assert self._wire is not None
        self._wire.ping(_LAST_PING)
        self._await_goodbye()

    def _await_goodbye(self) -> None:
        self._goodbye_began = self._now()
        self._goodbye_timer = self._loop.call_later(self._timings.farewell, self._goodbye_overdue)

    def _goodbye_overdue(self) -> None:
        assert self._wire is not None
        if self._streams:
            self._goodbye_timer = None
        elif self._wire.unsent or self._wire.heard_at > self._goodbye_began:
            # A slow server still takes answers, or what is before our ping. The grace limits that.
            self._await_goodbye()
        else:
            self._give_up(self._own_ending, "nothing is in flight any more, and the server does not answer")

    def _goodbye_seen(self) -> None:
        if self._goodbye_timer is None:
            return
        self._goodbye_timer.cancel()
        self._goodbye_timer = None
        # More may have come since; then this is done again when it has finished.
        if not self._streams:
            self._end(self._own_ending, "nothing is in flight any more")

    def _set_grace(self, seconds: float) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        self._grace_timer = self._loop.call_later(seconds, self._grace_over, seconds)

    def _grace_over(self, seconds: float) -> None:
        if self.state is ConnectionState.DRAINING and not self._streams:
            # The server has not left by itself. What it has on its way is still served.
            self._set_grace(self._timings.farewell)
            self._leave()
            return
        self._end(self._own_ending, f"the grace of {seconds:g} s was over, with {self.in_flight} requests in flight")

    @property
    def _own_ending(self) -> EndingKind:
        return EndingKind.STOPPED if self._stopping else EndingKind.DRAINED

    # The end.

    def _end(self, kind: EndingKind, reason: str, *, level: int = logging.INFO) -> None:
        if self._ending is not None:
            return
        self._served_for = self.served_for
        self._ending = Ending(kind, reason, self._served_for)
        self.state = ConnectionState.CLOSED
        for timer in (self._timer, self._grace_timer, self._goodbye_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._grace_timer = self._goodbye_timer = None
        if kind is EndingKind.FATAL or (
            kind is EndingKind.RETRY and self._warns and self._served_for < self._timings.steady
        ):
            level = logging.WARNING
        self._log(level, "ended: %s", reason)
        self._ended.set()

    def _give_up(self, kind: EndingKind, reason: str) -> None:
        """End a connection whose server does not answer: nothing is to be gained by waiting for it to hang up."""
        assert self._wire is not None
        self._end(kind, reason)
        self._wire.end(ErrorCodes.NO_ERROR, reason)
        self._wire.abort()

    async def _clean_up(self, ending: Ending) -> None:
        """Close the socket, and see to those requests that are still in flight, within ``timings.farewell``."""
        if self._wire is None:
            return
        streams = list(self._streams.values())
        for stream in streams:
            stream.disconnected()
        tasks = {stream.task for stream in streams if stream.task is not None}
        if tasks and ending.kind is not EndingKind.STOPPED:
            # The next dial need not wait for them.
            self._leftovers.adopt(tasks, within=self._timings.grace)
            tasks = set()
        self._wire.end(ErrorCodes.NO_ERROR, ending.reason)
        closed = asyncio.ensure_future(self._wire.closed.wait())
        try:
            await asyncio.wait({closed, *tasks}, timeout=self._timings.farewell / 2)
            self._wire.abort()
            self._leftovers.adopt(tasks, within=0)
            await asyncio.wait({closed, *tasks}, timeout=self._timings.farewell / 2)
        finally:
            closed.cancel()

    def _abandon(self) -> None:
        if self._wire is not None:
            self._wire.abort()
        for stream in list(self._streams.values()):
            stream.disconnected()
        self._leftovers.adopt((stream.task for stream in self._streams.values() if stream.task is not None), within=0)

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _now(self) -> float:
        return self._loop.time()

    def _log(self, level: int, message: str, *arguments: object) -> None:
        logger.log(
            level,
            f"tunnel worker=%s connection=%s server=%s: {message}",
            self._identity.worker_id,
            self.connection_id,
            self.target,
            *arguments,
        )
