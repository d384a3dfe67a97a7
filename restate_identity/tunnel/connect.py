"""`connect_tunnel`: runs a tunnel inside an ``async with`` block."""

from __future__ import annotations

import inspect
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from restate_identity.asgi import ASGIApp
from restate_identity.telemetry import Observer
from restate_identity.tunnel.options import TunnelOptions, tunnel_options
from restate_identity.tunnel.settings import TunnelSettings, takes
from restate_identity.tunnel.supervisor import TargetSource
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.tunnel import Tunnel


@takes(TunnelSettings)
def connect_tunnel(app: ASGIApp, settings: TunnelSettings) -> AbstractAsyncContextManager[Tunnel]:
    """Serve *app* to Restate Cloud over connections that this process opens, inside an ``async with`` block.

    Every forwarded request is verified before it reaches *app*; a request that Restate did not sign gets a 401. The
    tunnel dials only after the application has started up (ASGI lifespan). At the end of the block, new requests are
    refused, and requests in flight have up to ``timings.grace`` seconds to finish.

    Args:
        app: Any ASGI application; it need not have a guard of its own, but may.
        settings: The fields of `TunnelSettings`, as keyword arguments.

    Raises:
        ValueError, InvalidKeyError, TypeError: The configuration is incomplete, contradictory or malformed. The message
            names the argument and the variable. On entry: the auth token file cannot be read, or holds no token.
        TunnelError: On entry: the application did not start up.
    """
    check_application(app)
    return tunnel_of(app, settings)


def tunnel_of(app: ASGIApp, settings: TunnelSettings) -> AbstractAsyncContextManager[Tunnel]:
    """Return the tunnel for *app*, which `check_application` has checked."""
    options = tunnel_options(os.environ, settings)
    tls = settings.tls if isinstance(settings.tls, ssl.SSLContext) else None
    return open_tunnel(app, options, timings=settings.timings or TunnelTimings(), tls=tls, observer=settings.observer)


def check_application(app: object) -> None:
    """Raise TypeError if *app* cannot be an ASGI application."""
    if not callable(app):
        raise TypeError(f"app is an ASGI application, not a {type(app).__name__}")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # compiled code may have no signature
    try:
        signature.bind("scope", "receive", "send")
    except TypeError:
        raise TypeError(
            "app does not take (scope, receive, send): pass the ASGI application itself, not a function or class "
            "that makes it"
        ) from None


@asynccontextmanager
async def open_tunnel(
    app: ASGIApp,
    options: TunnelOptions,
    *,
    timings: TunnelTimings = TunnelTimings(),  # noqa: B008 (frozen)
    source: TargetSource | None = None,
    tls: ssl.SSLContext | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Tunnel]:
    """Run a tunnel as `connect_tunnel` does, from complete *options*. The other arguments are those of `Tunnel`."""
    tunnel = Tunnel(app, options, timings=timings, source=source, tls=tls, observer=observer)
    await tunnel.start()
    try:
        yield tunnel
    finally:
        await tunnel.aclose()
