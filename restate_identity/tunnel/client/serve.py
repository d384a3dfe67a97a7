"""`serve`: run the client with its remote proxies and its port for health and metrics, until a signal."""

from __future__ import annotations

import asyncio
import logging

from restate_identity._descriptors import LossOfConnections, allow_many_connections
from restate_identity._redaction import shown
from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.client.configuration import Configuration
from restate_identity.tunnel.client.metrics import ClientMetrics
from restate_identity.tunnel.client.proxies.remote_proxies import RemoteProxies
from restate_identity.tunnel.client.run import Companion, run
from restate_identity.tunnel.client.status import StatusServer

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")


async def serve(configuration: Configuration, metrics: ClientMetrics) -> None:
    """Serve until SIGTERM or SIGINT; see `run`, which also says what is raised."""
    allow_many_connections()
    asyncio.get_running_loop().set_exception_handler(LossOfConnections())
    settings = configuration.settings
    logger.info("tunnel client: forwards to %s, and nowhere else", ", ".join(map(shown, settings.targets.texts)))
    proxies = RemoteProxies(
        configuration.ports, settings.options.auth_token, configuration.callers, limits=settings.limits
    )
    companions: list[Companion] = [
        _Shown(metrics, proxies),
        StatusServer(configuration.health, {"/metrics": metrics.page}),
    ]
    if configuration.ports:
        companions.append(proxies)
    await run(settings, companions)


class _Shown:
    """Adds the client to the metrics. It is a `Companion`."""

    def __init__(self, metrics: ClientMetrics, proxies: RemoteProxies) -> None:
        self._metrics = metrics
        self._proxies = proxies

    async def start(self, client: TunnelClient) -> None:
        names = [port.name for port in self._proxies.ports]
        self._metrics.show(client, dict(zip(names, self._proxies.proxies, strict=True)))

    async def drain(self, within: float) -> None:
        pass
