"""One connection to a tunnel server, from the dial to its end.

We dial, and then the roles flip: the tunnel server is the HTTP/2 client, and we are the HTTP/2 server. The first stream
that it opens is the handshake; the others are requests. `restate_identity.tunnel.state` has the table of states and
transitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import h2.events
from h2.errors import ErrorCodes

from restate_identity._quoting import quoted
from restate_identity.tunnel import goodbye
from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.dial import DialError, dial
from restate_identity.tunnel.frames import GRACEFUL_GOAWAY, GoAway
from restate_identity.tunnel.goodbye import Goodbye
from restate_identity.tunnel.handshake import Acceptance, Refusal
from restate_identity.tunnel.introduction import Introduction
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.received import WireEvent
from restate_identity.tunnel.requests import Mode, Requests
from restate_identity.tunnel.state import ConnectionState, Ending, EndingKind, Event, next_state
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.ulids import new_ulid
from restate_identity.tunnel.watchdog import Watchdog
from restate_identity.tunnel.wire import Wire

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

_IDLE = "no request is in flight any more"


class Connection:
    """One connection to one tunnel server.

    Args:
        target: The server to dial.
        outlet: The application, credentials and timings that all connections share.
        warns: Whether to log a WARNING if the connection fails before it has served for more than
            ``timings.steady`` seconds.
        on_accepted: Called once with the server's answer, when the server accepts us.
        on_drain: Called at most once, when the server asks for this connection to be replaced: dial another.

    Attributes:
        state: The current state.
        connection_id: A ULID, new for each connection.
    """

    def __init__(
        self,
        target: Target,
        outlet: Outlet,
        *,
        warns: bool = False,
        on_accepted: Callable[[Acceptance], None],
        on_drain: Callable[[], None],
    ) -> None:
        self.target = target
        self.state: ConnectionState = ConnectionState.DIALLING
        self.connection_id: str = new_ulid()
        self._outlet = outlet
        self._timings = outlet.timings
        self._warns = warns
        self._on_accepted = on_accepted
        self._on_drain = on_drain
        self._wire = Wire(
            on_made=lambda: self._happened(Event.CONNECTED, "connected"),
            on_event=self._received,
            on_goaway=self._goaway,
            on_lost=self._lost,
            timings=outlet.timings,
        )
        self._requests = Requests(
            self._wire.output,
            outlet.app,
            max_streams=outlet.timings.max_streams,
            cancels=outlet.cancels,
            on_drain=lambda: self._happened(Event.DRAIN, "the server asked for a replacement"),
            on_idle=self._idle,
            log=self._log,
        )
        self._introduction = Introduction(
            self._wire.output,
            outlet.credentials,
            connection_id=self.connection_id,
            patience=outlet.timings.handshake,
            on_opened=lambda: self._requests.switch(Mode.HOLD),
            on_outcome=self._introduced,
        )
        self._watchdog = Watchdog(outlet.timings, ping=self._wire.output.ping, on_silence=self._silent)
        self._goodbye = Goodbye(
            self._wire,
            patience=outlet.timings.farewell,
            is_idle=lambda: not self._requests.in_flight,
            on_seen=lambda: self._happened(Event.SETTLED, _IDLE),
            on_silence=lambda: self._happened(Event.SETTLED, f"{_IDLE}, and the server does not answer", hang_up=True),
        )
        self._grace = Deadline()
        self._serving_since = 0.0
        self._served_for = 0.0
        self._ending: Ending | None = None
        self._ended = asyncio.Event()

    @property
    def served_for(self) -> float:
        """How many seconds the connection has been in the state SERVING so far."""
        if self.state is ConnectionState.SERVING:
            return asyncio.get_running_loop().time() - self._serving_since
        return self._served_for

    @property
    def takes_requests(self) -> bool:
        """Whether the server may still send requests here, and we serve them."""
        return self.state in (ConnectionState.SERVING, ConnectionState.DRAINING)

    @property
    def in_flight(self) -> int:
        """The number of requests that the application has not finished."""
        return self._requests.in_flight

    async def run(self) -> Ending:
        """Dial, complete the handshake, and serve until the connection ends. Raises only CancelledError."""
        try:
            await self._dial()
            await self._ended.wait()
            assert self._ending is not None
            await self._clean_up(self._ending)
            return self._ending
        except asyncio.CancelledError:
            self._happened(Event.CANCELLED, "cancelled")
            self._wire.abort()
            self._outlet.leftovers.adopt(self._requests.end(), within=0)
            raise

    def stop(self) -> None:
        """Send GOAWAY, refuse new requests, and let requests in flight finish for up to ``timings.grace`` seconds."""
        self._happened(Event.STOP, "stopped before it served")

    # State transitions.

    def _happened(self, event: Event, reason: str, *, hang_up: bool = False) -> None:
        """Move to the state that the table gives, and act on the transition.

        Args:
            event: The event.
            reason: Why it happened, for the log.
            hang_up: If this ends the connection, close the socket at once, because the server does not answer.
        """
        before, after = self.state, next_state(self.state, event)
        if after is before:
            return
        self._served_for = self.served_for
        if isinstance(after, EndingKind):
            self._end(after, reason)
            if hang_up:
                self._wire.end(ErrorCodes.NO_ERROR, reason)
                self._wire.abort()
            return
        self.state = after
        if after is ConnectionState.HANDSHAKE:
            self._introduction.begin()
        elif after is ConnectionState.SERVING:
            self._serving_since = asyncio.get_running_loop().time()
            self._requests.switch(Mode.SERVE)
            self._watchdog.start()
        elif after is ConnectionState.STOPPING:
            self._requests.switch(Mode.REFUSE)
            self._set_grace(self._timings.grace)
        elif before is ConnectionState.SERVING:
            self._log(logging.INFO, "drains: %s, %d requests in flight", reason, self.in_flight)
            self._set_grace(self._timings.drain_grace)
            self._on_drain()
        elif event is Event.GRACE_OVER_IDLE:
            self._set_grace(self._timings.farewell)
        if after in _GOING and before not in _GOING:
            self._wire.output.goaway(GRACEFUL_GOAWAY)
            self._goodbye.say_if_idle()

    def _set_grace(self, seconds: float) -> None:
        self._grace.set(seconds, lambda: self._grace_over(seconds))

    def _grace_over(self, seconds: float) -> None:
        reason = f"the grace period of {seconds:g} s is over, with {self.in_flight} requests in flight"
        self._happened(Event.GRACE_OVER if self.in_flight else Event.GRACE_OVER_IDLE, reason)

    def _idle(self) -> None:
        if self.state in _GOING:
            self._goodbye.say_if_idle()

    def _silent(self, pings: int) -> None:
        self._happened(Event.FAILED, f"the server did not answer {pings} pings in a row", hang_up=True)

    def _introduced(self, result: Acceptance | Refusal) -> None:
        if isinstance(result, Refusal):
            self._happened(Event.REFUSED if result.fatal else Event.FAILED, result.reason)
            return
        self._happened(Event.ACCEPTED, "accepted")
        self._log(logging.INFO, "serves %s", quoted(result.tunnel_name))
        self._on_accepted(result)
        self._requests.release()
        self._idle()

    # Callbacks of the wire.

    def _received(self, event: WireEvent) -> None:
        if self.state is ConnectionState.CLOSED or self._introduction.took(event):
            return
        if not isinstance(event, h2.events.PingAckReceived):
            self._requests.received(event)
        elif event.ping_data == goodbye.PING:
            self._goodbye.answered()
        else:
            self._watchdog.answered()

    def _goaway(self, goaway: GoAway) -> None:
        reason = f"the server ended the connection (GOAWAY, error code {goaway.error_code})"
        self._happened(Event.GOAWAY if goaway.error_code == ErrorCodes.NO_ERROR else Event.FAILED, reason)

    def _lost(self, reason: str) -> None:
        if self.in_flight:
            reason = f"{reason}, with {self.in_flight} requests in flight"
        self._happened(Event.LOST, reason)

    # The dial.

    async def _dial(self) -> None:
        if self._ending is not None:
            return
        outage = self._outlet.token_outage
        try:
            self._introduction.prepare()
        except (OSError, ValueError) as error:
            self._warns = outage.tells(asyncio.get_running_loop().time())
            self._happened(Event.FAILED, f"the auth token cannot be read: {error}")
            return
        if outage.end():
            self._log(logging.INFO, "the auth token can be read again")
        try:
            await dial(self.target, self._wire, tls=self._outlet.tls, within=self._timings.connect, unless=self._ended)
        except DialError as error:
            self._happened(Event.FAILED, str(error))

    # The end.

    def _end(self, kind: EndingKind, reason: str) -> None:
        self.state = ConnectionState.CLOSED
        self._ending = Ending(kind, reason, self._served_for)
        self._introduction.end()
        self._grace.cancel()
        self._watchdog.stop()
        self._goodbye.cancel()
        failed_early = kind is EndingKind.RETRY and self._served_for <= self._timings.steady
        if kind is EndingKind.FATAL or (failed_early and self._warns):
            level = logging.WARNING
        else:
            level = logging.DEBUG if failed_early else logging.INFO
        self._log(level, "ended: %s", reason)
        self._ended.set()

    async def _clean_up(self, ending: Ending) -> None:
        """Close the socket, and hand the calls that are still in flight to the leftovers."""
        # The next dial does not wait for these calls.
        stopped = ending.kind is EndingKind.STOPPED
        within = self._timings.farewell / 2 if stopped else self._timings.grace
        self._outlet.leftovers.adopt(self._requests.end(), within=within)
        self._wire.end(ErrorCodes.NO_ERROR, ending.reason)
        await self._wire.gone(within=self._timings.farewell)

    def _log(self, level: int, message: str, *arguments: object) -> None:
        logger.log(
            level,
            f"tunnel worker=%s connection=%s server=%s: {message}",
            self._outlet.credentials.worker_id,
            self.connection_id,
            self.target,
            *arguments,
        )


_GOING = (ConnectionState.LEAVING, ConnectionState.STOPPING)
