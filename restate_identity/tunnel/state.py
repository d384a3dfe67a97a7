"""The life of a connection as a table: where it is, what happens, and where it is then.

Nothing here does anything. `restate_identity.tunnel.connection` acts on what the table says.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class ConnectionState(Enum):
    """Where a connection is in its life; it only ever moves down this list."""

    DIALLING = "dialling"
    HANDSHAKE = "handshake"
    SERVING = "serving"
    DRAINING = "draining"
    """The server wants another connection. It goes on using this one until it has that, and we go on serving."""
    LEAVING = "leaving"
    """The server opens no more streams. The connection ends as soon as nothing is in flight."""
    STOPPING = "stopping"
    """We stop: the same, and new requests are refused."""
    CLOSED = "closed"


class EndingKind(Enum):
    """What the end of a connection asks for."""

    FATAL = "fatal"
    """The whole tunnel must stop: dialling again cannot help."""
    RETRY = "retry"
    DRAINED = "drained"
    """The server asked for it, and has left, or the grace was over."""
    STOPPED = "stopped"
    """We asked for it."""


class Ending(NamedTuple):
    """How a connection ended."""

    kind: EndingKind
    reason: str
    """Safe to log; names the remedy when it is fatal."""
    served_for: float
    """Seconds in SERVING; 0.0 if it never served."""


class Event(Enum):
    """What happens to a connection."""

    CONNECTED = "TCP, TLS and HTTP/2 are agreed upon"
    ACCEPTED = "the server accepts us"
    REFUSED = "the server refuses us for good"
    DRAIN = "the server wants another connection"
    GOAWAY = "the server opens no more streams (GOAWAY without an error)"
    STOP = "we stop"
    SETTLED = "nothing is in flight, and the server knows that nothing more comes"
    GRACE_OVER = "the grace is over, with requests in flight"
    GRACE_OVER_IDLE = "the grace is over, and nothing is in flight"
    FAILED = "what another dial may mend: no connection, no outcome, no answer to pings"
    LOST = "the other side has hung up, or broken the rules"
    CANCELLED = "somebody wants an end at once"


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
        # What the server has on its way is still served.
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
    # After the end nothing matters any more.
    _S.CLOSED: dict.fromkeys(_E, _S.CLOSED),
}


def next_state(state: ConnectionState, event: Event) -> ConnectionState | EndingKind:
    """Return the state of a connection after *event*, or how it ends.

    Raises:
        KeyError: That cannot happen in this state: a mistake in the tunnel.
    """
    return TABLE[state][event]
