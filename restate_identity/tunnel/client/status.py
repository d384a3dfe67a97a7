"""`StatusServer`: answers ``/health`` and ``/metrics`` about a running client. It is a `Companion`."""

from __future__ import annotations

import json
from contextlib import suppress

from restate_identity._health_server import HealthServer, Page
from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.client.serve_address import ServeAddress


class StatusServer:
    """The port for probes and metrics.

    Args:
        address: Where to listen.
        pages: Other paths than ``/health``.
    """

    def __init__(self, address: ServeAddress, pages: dict[str, Page] | None = None) -> None:
        self._address = address
        self._pages = pages
        self._server: HealthServer | None = None
        self._client: TunnelClient | None = None

    async def start(self, client: TunnelClient) -> None:
        """Listen.

        Raises:
            OSError: The port is in use, or this process may not use it. The message names it.
        """
        self._client = client
        self._server = HealthServer(
            lambda: client.tunnel.is_serving,
            self._address.port,
            host=self._address.listen_on,
            report=lambda: _report(client),
            pages=self._pages,
        )
        try:
            await self._server.start()
        except OSError as error:
            reason = error.strerror or error
            raise OSError(error.errno, f"cannot listen on {self._address} for the health: {reason}") from None

    async def drain(self, within: float) -> None:  # noqa: ARG002 (the tunnel has its own limit)
        """Say that nothing is served until the tunnel has ended, and close then."""
        try:
            if self._client is not None:
                with suppress(Exception):
                    await self._client.tunnel.wait_closed()
        finally:
            if self._server is not None:
                self._server.close()


def _report(client: TunnelClient) -> bytes:
    servers = {
        server: {"opened": state.opened, "draining": state.draining, "attempts": state.attempts}
        for server, state in sorted(client.tunnel.servers.items())
    }
    status = "serving" if client.tunnel.is_serving else "not serving"
    return json.dumps({"status": status, "servers": servers}).encode()
