"""`RemoteProxies`: the ports for the cloud's ingress and admin API, beside the tunnel. It is a `Companion`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.client.connector import Connector
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.pool import Pool
from restate_identity.tunnel.client.proxies.bearer import Bearer
from restate_identity.tunnel.client.proxies.callers import Callers
from restate_identity.tunnel.client.proxies.cloud_proxy import CloudProxy
from restate_identity.tunnel.client.proxies.listener import Listener
from restate_identity.tunnel.client.proxies.patience import Patience
from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.token import AuthToken

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# The cloud is far, so a stream needs a larger window than to a target. The window of a connection holds those of all
# its streams: a caller that does not read holds up no other one.
_WINDOWS = TunnelTimings(stream_window=256 * 1024, connection_window=32 * 1024 * 1024)

# The cloud keeps connections, and opening one takes several round trips.
_IDLE = 60.0


@dataclass(frozen=True, kw_only=True)
class Port:
    """One remote proxy."""

    name: str
    """``ingress`` or ``admin``, for the log."""
    address: ServeAddress
    """Where to listen."""
    origin: Origin
    """Where the requests go, with the API key."""


class RemoteProxies:
    """The ports.

    Args:
        ports: What to serve.
        token: The API key.
        callers: Which requests may pass.
        limits: The limits on connections to the cloud, which are kept for longer than those to targets.
        patience: The limits on connections to the ports.
        tls: Returns a new context for connections to the cloud.
    """

    def __init__(
        self,
        ports: tuple[Port, ...],
        token: AuthToken,
        callers: Callers,
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        limits = replace(limits, idle=_IDLE)
        self._pool = Pool(Connector(limits, tls=tls, timings=_WINDOWS).connect, limits)
        self.ports: tuple[Port, ...] = ports
        bearer = Bearer(token)
        self.proxies: list[CloudProxy] = [
            CloudProxy(port.origin, pool=self._pool, bearer=bearer, callers=callers) for port in ports
        ]
        self.listeners: list[Listener] = [
            Listener(proxy, port.address, patience) for proxy, port in zip(self.proxies, ports, strict=True)
        ]

    async def start(self, client: TunnelClient | None = None) -> None:  # noqa: ARG002 (the interface of a companion)
        """Listen.

        Raises:
            OSError: A port is in use, or this process may not use it. The message names it.
        """
        for port, listener in zip(self.ports, self.listeners, strict=True):
            try:
                await listener.start()
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"cannot listen on {port.address} for the {port.name} proxy: {error.strerror or error}; choose "
                    f"another port with --{port.name}-serve-address, or pass --no-remote-proxy",
                ) from None
            logger.info("tunnel client: %s passes requests on to %s", port.address, port.origin)
            if not port.address.is_loopback:
                logger.warning(
                    "tunnel client: the %s proxy listens on %s, beyond this machine. WHOEVER REACHES THIS PORT HAS "
                    "ACCESS WITH YOUR API KEY: let only those connect who may have it",
                    *(port.name, port.address),
                )

    async def drain(self, within: float) -> None:
        """Accept nothing more, let what is in flight finish for up to *within* seconds, and close everything."""
        try:
            await asyncio.gather(*(listener.drain(within) for listener in self.listeners))
        finally:
            await self._pool.aclose()
