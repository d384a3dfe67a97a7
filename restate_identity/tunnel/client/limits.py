"""`Limits`: how many connections to targets there are, and how long they are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds, and limits on what may be open for one origin."""

    connect: float = 5.0
    """The time limit for a connection: the name's lookup, TCP, TLS, and the first frame of HTTP/2."""
    idle: float = 4.0
    """How long a connection without requests is kept. Servers such as hypercorn and uvicorn close theirs after 5 s,
    over HTTP/2 without a GOAWAY, and a request that is sent at that moment is lost."""
    requests: int = 1000
    """How many requests a connection has before another one takes over. Hypercorn ends a connection at the next one,
    with all requests in flight."""
    connections: int = 16
    """How many HTTP/2 connections an origin may have. Another one is opened when all have *streams* requests. Node's
    server resets requests when the responses of one connection take 10 MB of its memory."""
    streams: int = 8
    """See *connections*. When all connections are open, each takes as many requests as the target allows."""
    patience: float = 1.0
    """How long requests wait for another HTTP/2 connection while those that are open could take them. A server that is
    busy is slow to open one, and Node's, see above, resets the requests that share one instead."""
    connections_http1: int = 1024
    """How many HTTP/1.1 connections an origin may have. Each has one request; further requests wait."""
