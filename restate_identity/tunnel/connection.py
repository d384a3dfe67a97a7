"""One dialled connection, from the dial to its end."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from restate_identity.asgi import ASGIApp
from restate_identity.tunnel.handshake import Credentials, Serving
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.timings import Timings

__all__ = ["Connection", "ConnectionState", "Credentials", "Ending", "EndingKind", "Serving", "Timings"]


class ConnectionState(Enum):
    """Where a connection is in its life; it only ever moves down this list."""

    DIALLING = "dialling"
    HANDSHAKE = "handshake"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


class EndingKind(Enum):
    """What the end of a connection asks for."""

    FATAL = "fatal"
    """The whole tunnel must stop: dialling again cannot help."""
    RETRY = "retry"
    DRAINED = "drained"
    """The server asked for it, and what was in flight has finished."""
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
        timings: For tests.
        tls: A context to use in place of the system's certificate authorities; its ALPN is set to ``h2``.
        on_serving: Called once, when the server has accepted us.
        on_drain: Called at most once, when the server wants to be rid of this connection: dial another.

    Attributes:
        state: Where it is in its life.
        connection_id: A ULID, new for each connection.
        serving: What the server answered; None before it did.
        served_for: Seconds in SERVING so far.
    """

    state: ConnectionState
    connection_id: str
    serving: Serving | None

    def __init__(
        self,
        target: Target,
        app: ASGIApp,
        *,
        identity: Credentials,
        timings: Timings = Timings(),  # noqa: B008 (frozen)
        tls: ssl.SSLContext | None = None,
        on_serving: Callable[[Connection], None],
        on_drain: Callable[[Connection], None],
    ) -> None:
        raise NotImplementedError

    @property
    def served_for(self) -> float:
        """Seconds in SERVING, so far."""
        raise NotImplementedError

    async def run(self) -> Ending:
        """Dial, introduce ourselves, serve until the end. Raises nothing but CancelledError."""
        raise NotImplementedError

    def stop(self) -> None:
        """Say goodbye, refuse what is new, let what is in flight finish for up to ``timings.grace``."""
        raise NotImplementedError
