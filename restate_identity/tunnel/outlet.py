"""What all connections of a tunnel have in common."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from restate_identity.asgi import ASGIApp
from restate_identity.tunnel.handshake import Credentials
from restate_identity.tunnel.leftovers import Leftovers
from restate_identity.tunnel.timings import TunnelTimings


@dataclass(frozen=True)
class Outlet:
    """What is served, as whom, and how.

    Attributes:
        app: It must verify every request by itself.
        credentials: What a connection introduces itself with.
        timings: How long things may take, and how much may be in flight.
        tls: A context to use in place of the system's certificate authorities.
        leftovers: Takes over the calls of the application that outlive their connection.
    """

    app: ASGIApp
    credentials: Credentials
    timings: TunnelTimings = TunnelTimings()  # noqa: RUF009 (frozen)
    tls: ssl.SSLContext | None = None
    leftovers: Leftovers = field(default_factory=Leftovers)
