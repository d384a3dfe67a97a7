"""The complete configuration of the stand-alone client."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from restate_identity.telemetry import Observer
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.options import TunnelOptions
from restate_identity.tunnel.supervisor import TargetSource
from restate_identity.tunnel.timings import TunnelTimings

GRACE = 300.0


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What `restate_identity.tunnel.client.run` needs."""

    options: TunnelOptions
    """The tunnel: its name, keys, token and servers."""
    targets: AllowList
    """Where requests may go."""
    timings: TunnelTimings = TunnelTimings(grace=GRACE)  # noqa: RUF009 (frozen)
    """The tunnel's time limits. ``grace`` is how long requests in flight may take after a signal."""
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    """The limits on connections to targets."""
    tls: ssl.SSLContext | None = None
    """A context for the tunnel servers instead of the system's certificate authorities."""
    target_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    """Returns a new context for ``https`` targets. It is called once for each list of protocols that is offered."""
    observer: Observer | None = None
    """Receives the outcome of every verified request."""
    source: TargetSource | None = None
    """For tests: a source of tunnel servers that replaces the configured ones."""
