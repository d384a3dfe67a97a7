"""The state machine of a connection, as a table of transitions.

Nothing here does I/O. `restate_identity.tunnel.connection` acts on the transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple


class ConnectionState(Enum):
    """The states of a connection. A connection only moves down this list."""

    DIALLING = auto()
    HANDSHAKE = auto()
    SERVING = auto()
    DRAINING = auto()
    """The server asked for a replacement. It uses this connection until it has one, and we keep serving."""
    LEAVING = auto()
    """The server opens no more streams. The connection ends as soon as no request is in flight."""
    STOPPING = auto()
    """We are stopping: new requests are refused. The connection ends as soon as no request is in flight."""
    CLOSED = auto()


class EndingKind(Enum):
    """Why a connection ended, and so what to do next."""

    FATAL = auto()
    """The whole tunnel must stop, because dialling again would not help."""
    RETRY = auto()
    """The connection failed: dial again."""
    DRAINED = auto()
    """The server asked for it; then it closed the connection, or the grace period was over."""
    STOPPED = auto()
    """We stopped it."""


class Ending(NamedTuple):
    """How a connection ended."""

    kind: EndingKind
    reason: str
    """Safe to log. For a fatal end it says what to do."""
    served_for: float
    """How many seconds the connection was in SERVING; 0.0 if it never was."""


class Event(Enum):
    """The events of a connection."""

    CONNECTED = "the connection is established: TCP, TLS and HTTP/2"
    ACCEPTED = "the server accepts us"
    REFUSED = "the server refuses us for good"
    DRAIN = "the server asks for a replacement"
    GOAWAY = "the server opens no more streams (GOAWAY without an error)"
    STOP = "we stop"
    SETTLED = "no request is in flight, and the server answered the last PING, or did not answer in time"
    GRACE_OVER = "the grace period is over, with requests in flight"
    GRACE_OVER_IDLE = "the grace period is over, with no request in flight"
    FAILED = "a failure that another dial may fix: no connection, no outcome of the handshake, no answer to PINGs"
    LOST = "the server closed the connection, or violated the protocol"
    CANCELLED = "the connection's task was cancelled: end at once"


_S, _E, _K = ConnectionState, Event, EndingKind

_ANY: Mapping[Event, EndingKind] = {_E.FAILED: _K.RETRY, _E.CANCELLED: _K.STOPPED}

TABLE: Mapping[ConnectionState, Mapping[Event, ConnectionState | EndingKind]] = {
    _S.DIALLING: {
        **_ANY,
        _E.CONNECTED: _S.HANDSHAKE,
        _E.STOP: _K.STOPPED,
        _E.LOST: _K.RETRY,
    },
    _S.HANDSHAKE: {
        **_ANY,
        _E.ACCEPTED: _S.SERVING,
        _E.REFUSED: _K.FATAL,
        _E.GOAWAY: _K.RETRY,
        _E.STOP: _K.STOPPED,
        _E.LOST: _K.RETRY,
    },
    _S.SERVING: {
        **_ANY,
        _E.DRAIN: _S.DRAINING,
        _E.GOAWAY: _S.LEAVING,
        _E.STOP: _S.STOPPING,
        _E.LOST: _K.RETRY,
    },
    _S.DRAINING: {
        **_ANY,
        _E.DRAIN: _S.DRAINING,
        _E.GOAWAY: _S.LEAVING,
        _E.STOP: _S.STOPPING,
        _E.GRACE_OVER: _K.DRAINED,
        # Requests that are on their way are still served.
        _E.GRACE_OVER_IDLE: _S.LEAVING,
        _E.LOST: _K.DRAINED,
    },
    _S.LEAVING: {
        **_ANY,
        _E.DRAIN: _S.LEAVING,
        _E.GOAWAY: _S.LEAVING,
        _E.STOP: _S.STOPPING,
        _E.SETTLED: _K.DRAINED,
        _E.GRACE_OVER: _K.DRAINED,
        _E.GRACE_OVER_IDLE: _K.DRAINED,
        _E.LOST: _K.DRAINED,
    },
    _S.STOPPING: {
        **_ANY,
        _E.GOAWAY: _S.STOPPING,
        _E.STOP: _S.STOPPING,
        _E.SETTLED: _K.STOPPED,
        _E.GRACE_OVER: _K.STOPPED,
        _E.GRACE_OVER_IDLE: _K.STOPPED,
        _E.LOST: _K.STOPPED,
    },
    # After the end, every event is ignored.
    _S.CLOSED: dict.fromkeys(_E, _S.CLOSED),
}


def next_state(state: ConnectionState, event: Event) -> ConnectionState | EndingKind:
    """Return the next state after *event* in *state*, or how the connection ends.

    Raises:
        KeyError: The event is impossible in this state, so there is a bug in the tunnel.
    """
    return TABLE[state][event]
