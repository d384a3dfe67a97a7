"""What all connections of a tunnel share: the application, the credentials and the timings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from restate_identity.asgi import ASGIApp
from restate_identity.tunnel.handshake import Credentials
from restate_identity.tunnel.leftovers import Leftovers
from restate_identity.tunnel.outage import Outage
from restate_identity.tunnel.timings import TunnelTimings


@dataclass(frozen=True)
class Outlet:
    """The values that all connections of a tunnel share.

    Attributes:
        app: The application with its guard: it must verify every request itself.
        credentials: What a connection authenticates with.
        timings: Time limits, and limits on what may be in flight.
        tls: A context to use instead of the system's certificate authorities.
        leftovers: Takes over the calls of the application that outlive their connection.
        token_outage: When to log that the auth token cannot be read.
        cancels: Whether a call of the application is cancelled when its stream is lost, besides ``http.disconnect``.
    """

    app: ASGIApp
    credentials: Credentials
    timings: TunnelTimings = TunnelTimings()  # noqa: RUF009 (frozen)
    tls: ssl.SSLContext | None = None
    leftovers: Leftovers = field(default_factory=Leftovers)
    token_outage: Outage = field(default_factory=Outage)
    cancels: bool = False
