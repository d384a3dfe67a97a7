"""The stand-alone client: forwards what comes through the tunnel to services of a private network, in any language."""

from __future__ import annotations

try:
    import h11 as _h11
except ImportError as _error:
    raise ImportError(
        "the tunnel client needs h11: pip install 'restate-identity[tunnel-client]'", name=_error.name
    ) from _error

from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.client import TunnelClient, open_client
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.run import Companion, run
from restate_identity.tunnel.client.settings import ClientSettings

del _h11

__all__ = ["AllowList", "ClientSettings", "Companion", "Limits", "TunnelClient", "open_client", "run"]
