"""Serve an ASGI app to Restate Cloud over an outbound connection, with no port open to the world."""

from __future__ import annotations

try:
    import dns as _dns
    import h2 as _h2
except ImportError as _error:
    raise ImportError(
        "the tunnel needs h2 and dnspython: pip install 'restate-identity[tunnel]'", name=_error.name
    ) from _error

from restate_identity.tunnel.connect import connect_tunnel
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.lane import ServerState
from restate_identity.tunnel.serve import serve_tunnel
from restate_identity.tunnel.settings import ServeSettings, TunnelSettings
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.tunnel import Tunnel

del _dns, _h2

__all__ = [
    "ServeSettings",
    "ServerState",
    "Tunnel",
    "TunnelError",
    "TunnelSettings",
    "TunnelTimings",
    "connect_tunnel",
    "serve_tunnel",
]
