"""`TunnelTimings`: all durations of the protocol, and the limits on what may be in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

# The initial window of a connection, which cannot be reduced (RFC 9113, 6.9.2).
_FIRST_WINDOW = 65_535
_MOST = 2**31 - 1
_MAY_BE_ZERO = frozenset(("grace", "drain_grace", "steady"))


@dataclass(frozen=True)
class TunnelTimings:
    """Time limits and intervals, in seconds, and limits on what may be in flight on a connection.

    The defaults are those of the protocol.

    Raises:
        ValueError: A number is out of range. The message names the field.
        TypeError: A value is not a number. The message names the field.
    """

    connect: float = 5.0
    """The time limit for opening a connection, TLS included."""
    handshake: float = 5.0
    """The time limit for the server to open its first stream and to finish it with the outcome."""
    ping_every: float = 75.0
    """The interval between two PINGs that check whether the server is alive."""
    ping_answer: float = 10.0
    """The time limit for the answer to a PING."""
    missed_pings: int = 2
    """How many unanswered PINGs in a row end a connection."""
    grace: float = 120.0
    """The time limit for requests in flight when the tunnel stops."""
    drain_grace: float = 120.0
    """How long a connection keeps serving after the server asked for a replacement."""
    farewell: float = 1.0
    """The time limit for the last frames to reach a server that may be gone, and for a cancelled call to end."""
    steady: float = 5.0
    """A connection that served longer than this resets the back-off."""
    backoff_first: float = 0.01
    """The first delay before a server is dialled again; it doubles with each failure."""
    backoff_limit: float = 120.0
    """The longest delay before a dial, not counting the random factor."""
    resolve_every: float = 30.0
    """The interval between two lookups of the SRV record."""
    start_limit: float = 60.0
    """The time limit for the application's lifespan to start up; and, after the grace period, to shut down."""
    max_streams: int = 4096
    """How many requests a server may have open on a connection."""
    stream_window: int = 1024 * 1024
    """How many bytes of one request may wait to be read by the application."""
    connection_window: int = 16 * 1024 * 1024
    """How many bytes of all requests of a connection may wait; at least 65,535."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                _check_integer(field.name, value)
            else:
                _check_seconds(field.name, value)
        if self.backoff_first > self.backoff_limit:
            raise ValueError(f"backoff_first, {self.backoff_first:g} s, is more than backoff_limit")
        if self.connection_window < _FIRST_WINDOW:
            raise ValueError(f"connection_window must be at least {_FIRST_WINDOW} bytes, not {self.connection_window}")


def _check_integer(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a whole number, not a {type(value).__name__}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name} must be between 1 and {_MOST}, not {value}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} is a number of seconds, not a {type(value).__name__}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
        raise ValueError(f"{name} must be a finite number of seconds, {least}, not {value}")
