"""`serve_tunnel`: runs a tunnel until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from restate_identity._health_server import HealthServer
from restate_identity._waiting import cancel, cut_short, uninterrupted
from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.tunnel.connect import check_application, tunnel_of
from restate_identity.tunnel.settings import ServeSettings, takes
from restate_identity.tunnel.signals import hold_signals, run_until_signalled
from restate_identity.tunnel.tunnel import Tunnel

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


@takes(ServeSettings)
async def serve_tunnel(app: ASGIApp, settings: ServeSettings) -> None:
    """Serve *app* as `connect_tunnel` does, until SIGTERM or SIGINT; then finish the requests in flight and return.

    A second signal ends the tunnel at once, and so does a cancellation. Call it in the main thread.

    Args:
        app: Any ASGI application; it need not have a guard of its own, but may.
        settings: The fields of `TunnelSettings`, and ``health_port``, as keyword arguments.

    Raises:
        ValueError, InvalidKeyError, TypeError: As for `connect_tunnel`.
        TunnelError: The application did not start up, or dialling again would not help. The message says what to do.
        OSError: The health port is in use, or this process may not use it.
        RuntimeError: This is not the main thread.
    """
    check_application(app)

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        # The application may replace our signal handlers when it is called or when it returns.
        loop.call_soon(hold_signals)
        try:
            await app(scope, receive, send)
        finally:
            hold_signals()

    loop = asyncio.get_running_loop()
    connecting = tunnel_of(kept, settings)
    await run_until_signalled(partial(_serve_until, connecting, settings.health_port), logger, "tunnel")


async def _serve_until(
    connecting: AbstractAsyncContextManager[Tunnel], health_port: int | None, stopping: asyncio.Event
) -> None:
    tunnel: Tunnel | None = None
    health: HealthServer | None = None
    if health_port is not None:
        health = HealthServer(lambda: tunnel is not None and tunnel.is_serving, health_port)
        await health.start()
    stopped = asyncio.ensure_future(stopping.wait())
    starting = asyncio.ensure_future(connecting.__aenter__())
    tasks: list[asyncio.Task[Any]] = [stopped, starting]
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        tunnel = starting.result()
        ended = asyncio.ensure_future(tunnel.wait_closed())
        tasks.append(ended)
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await tunnel.aclose()
        await ended
    finally:
        if health is not None:
            health.close()
        await uninterrupted(_end(starting, tasks))


async def _end(starting: asyncio.Task[Tunnel], tasks: list[asyncio.Task[Any]]) -> None:
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        # If serving was cancelled, the tunnel still serves. An `aclose` that is cancelled ends it at once.
        await cut_short(starting.result().aclose())
    await cancel(*tasks)
