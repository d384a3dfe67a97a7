"""Every duration of the protocol, in one place, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """How long things may take, and how often they happen, in seconds."""

    connect: float = 5.0
    """To open the connection, TLS included."""
    handshake: float = 5.0
    """For the server to open its first stream and to finish it with the outcome."""
    ping_every: float = 75.0
    ping_answer: float = 10.0
    missed_pings: int = 2
    """So many unanswered pings in a row end a connection."""
    grace: float = 120.0
    """For what is in flight to finish, when we stop."""
    drain_grace: float = 120.0
    """For a connection to go on serving, when the server wants another one in its place."""
    farewell: float = 1.0
    """For the last frames to reach a server that may be gone, and for a cancelled call to end."""
    steady: float = 5.0
    """A connection that served for so long was a good one: the next dial need not wait."""
    backoff_first: float = 0.01
    backoff_limit: float = 120.0
    resolve_every: float = 30.0
    start_limit: float = 60.0
    """For the application's lifespan to start up."""
    max_streams: int = 4096
    """So many requests a server may have open on a connection."""
