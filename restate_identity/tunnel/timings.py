"""Every duration of the protocol, in one place, and how much may be in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

# What a window begins with, and cannot be less than for a connection (RFC 9113, 6.9.2); and the most of everything.
_FIRST_WINDOW = 65_535
_MOST = 2**31 - 1
_MAY_BE_ZERO = frozenset(("grace", "drain_grace", "steady"))


@dataclass(frozen=True)
class TunnelTimings:
    """How long things may take and how often they happen, in seconds; and how much may be in flight on a connection.

    The defaults are those of the protocol.

    Raises:
        ValueError: A number is out of its range; names it.
        TypeError: Something is no number.
    """

    connect: float = 5.0
    """To open a connection, TLS included."""
    handshake: float = 5.0
    """For the server to open its first stream and to finish it with the outcome."""
    ping_every: float = 75.0
    """Between two PINGs that look after the server."""
    ping_answer: float = 10.0
    """For the answer to a PING."""
    missed_pings: int = 2
    """So many unanswered PINGs in a row end a connection."""
    grace: float = 120.0
    """For what is in flight to finish, when the tunnel stops."""
    drain_grace: float = 120.0
    """For a connection to go on serving, when the server wants another one in its place."""
    farewell: float = 1.0
    """For the last frames to reach a server that may be gone, and for a cancelled call to end."""
    steady: float = 5.0
    """A connection that served for so long was a good one: the next dial need not wait."""
    backoff_first: float = 0.01
    """Before a server is dialled again; it doubles from one failure to the next."""
    backoff_limit: float = 120.0
    """What the wait before a dial grows to."""
    resolve_every: float = 30.0
    """Between two looks at the SRV record."""
    start_limit: float = 60.0
    """For the application's lifespan to start up; and, after the grace, to shut down."""
    max_streams: int = 4096
    """So many requests a server may have open on a connection."""
    stream_window: int = 1024 * 1024
    """So many bytes of a request may wait to be taken by the application."""
    connection_window: int = 16 * 1024 * 1024
    """So many bytes of all requests of a connection; 65,535 at least."""

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
            raise ValueError(f"connection_window is {_FIRST_WINDOW} bytes or more, and not {self.connection_window}")


def _check_integer(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a whole number, not a {type(value).__name__}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name} is between 1 and {_MOST}, and not {value}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} is a number of seconds, not a {type(value).__name__}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
        raise ValueError(f"{name} is a finite number of seconds, {least}, and not {value}")
