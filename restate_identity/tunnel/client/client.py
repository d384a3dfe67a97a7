"""`TunnelClient`: the tunnel, the forwarder behind it, and the connections to targets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from restate_identity.tunnel.client.connector import Connector, Resolve
from restate_identity.tunnel.client.counters import Counters
from restate_identity.tunnel.client.forwarder import Forwarder
from restate_identity.tunnel.client.pool import Pool
from restate_identity.tunnel.client.settings import ClientSettings
from restate_identity.tunnel.names import addresses
from restate_identity.tunnel.tunnel import Tunnel


class TunnelClient:
    """A running client. Use `open_client` to start one.

    Args:
        settings: The configuration.
        resolve: For tests: looks up the addresses of a target's host.

    Attributes:
        tunnel: The tunnel; it verifies every request before the forwarder gets it.
        counters: What became of the requests.
        pool: The connections to targets.
    """

    def __init__(self, settings: ClientSettings, *, resolve: Resolve = addresses) -> None:
        self.counters: Counters = Counters()
        connector = Connector(
            settings.limits,
            admits=settings.targets.admits,
            resolve=resolve,
            tls=settings.target_tls,
        )
        self.pool: Pool = Pool(connector.connect, settings.limits)
        segments = [f"/{o.scheme}/{o.bracketed}/{o.port}/" for o in settings.targets.origins]
        self.tunnel: Tunnel = Tunnel(
            Forwarder(settings.targets, self.pool, self.counters),
            settings.options,
            timings=settings.timings,
            source=settings.source,
            tls=settings.tls,
            observer=settings.observer,
            cancels=True,
            segments=segments or ["/<scheme>/<host>/<port>/"],
        )

    async def start(self) -> None:
        """Start to dial the tunnel servers.

        Raises:
            ValueError: The auth token file cannot be read, or holds no token.
        """
        await self.tunnel.start()

    async def aclose(self) -> None:
        """Refuse new requests, let those in flight finish for up to ``timings.grace`` seconds, and close everything."""
        try:
            await self.tunnel.aclose()
        finally:
            await asyncio.shield(asyncio.ensure_future(self.pool.aclose()))


@asynccontextmanager
async def open_client(settings: ClientSettings, *, resolve: Resolve = addresses) -> AsyncIterator[TunnelClient]:
    """Run a client inside an ``async with`` block."""
    client = TunnelClient(settings, resolve=resolve)
    await client.start()
    try:
        yield client
    finally:
        await client.aclose()
