"""`serve_tunnel`: a tunnel for the time until a signal, as a whole process."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.tunnel.health import HealthServer
from restate_identity.tunnel.signals import StopSignals
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.tunnel import Tunnel, check_application, connect_tunnel

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


async def serve_tunnel(
    app: ASGIApp,
    *,
    health_port: int | None = None,
    tunnel_name: str | None = None,
    environment_id: str | None = None,
    region: str | None = None,
    signing_public_key: str | PublicKey | None = None,
    auth_token: str | None = None,
    auth_token_file: str | os.PathLike[str] | None = None,
    servers: Iterable[str] | None = None,
    servers_srv: str | None = None,
    worker_id: str | None = None,
    timings: TunnelTimings | None = None,
    tls: ssl.SSLContext | bool = True,
    observer: Observer | None = None,
) -> None:
    """Do what `connect_tunnel` does, until SIGTERM or SIGINT: then return when what is in flight has finished.

    A second signal ends it at once. To be called in the main thread.

    Args:
        app: Any ASGI application, guarded by itself or not.
        health_port: Answer ``GET /health`` there, on all addresses: 200 while a connection serves, else 503.
        tunnel_name: This one, and all that follow it, as for `connect_tunnel`.

    Raises:
        ValueError, InvalidKeyError, TypeError: As for `connect_tunnel`.
        TunnelError: The application did not start up, or dialling again cannot help; the message names the remedy.
        OSError: The health port is taken.
        RuntimeError: This is not the main thread.
    """
    check_application(app)
    signals: StopSignals
    forced = False

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        # What takes the signals away does so when it is called, or when it returns.
        loop.call_soon(signals.hold)
        try:
            await app(scope, receive, send)
        finally:
            signals.hold()

    def on_stop() -> None:
        nonlocal forced
        if not stopping.is_set():
            logger.info("tunnel: stops; what is in flight may finish, a second signal ends it at once")
            stopping.set()
        else:
            forced = True
            running.cancel()

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    connecting = connect_tunnel(
        kept,
        tunnel_name=tunnel_name,
        environment_id=environment_id,
        region=region,
        signing_public_key=signing_public_key,
        auth_token=auth_token,
        auth_token_file=auth_token_file,
        servers=servers,
        servers_srv=servers_srv,
        worker_id=worker_id,
        timings=timings,
        tls=tls,
        observer=observer,
    )
    with StopSignals(on_stop) as signals:
        running = asyncio.ensure_future(_serve_until(stopping, connecting, health_port))
        try:
            await running
        except asyncio.CancelledError:
            if not forced:
                raise
            logger.warning("tunnel: ended by a second signal")


async def _serve_until(
    stopping: asyncio.Event, connecting: AbstractAsyncContextManager[Tunnel], health_port: int | None
) -> None:
    tunnel: Tunnel | None = None
    health = HealthServer(lambda: tunnel is not None and tunnel.is_serving, health_port or 0)
    if health_port is not None:
        await health.start()
    stopped = asyncio.ensure_future(stopping.wait())
    starting = asyncio.ensure_future(connecting.__aenter__())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        tunnel = starting.result()
        ended = asyncio.ensure_future(tunnel.wait_closed())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await tunnel.aclose()
        await ended
    finally:
        health.close()
        stopped.cancel()
        starting.cancel()
        await asyncio.wait({starting})
