"""Serve an edge with uvicorn, on loopback or a Unix socket, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from restate_identity._health_server import HealthServer
from restate_identity.edge.application import EdgeApplication

try:
    import uvicorn
except ImportError as _error:
    raise ImportError("uvicorn is missing: pip install 'restate-identity[edge]'", name=_error.name) from _error

# Longer than any proxy keeps an idle connection (Envoy: an hour). If the edge closed it first, a request that the proxy
# is just sending on it would be lost.
KEEP_ALIVE = 2 * 60 * 60
# For the answers in flight, after a signal. Each takes far less than a second.
GRACE = 10


@contextmanager
def listener(address: str) -> Iterator[socket.socket]:
    """Listen on ``host:port`` or ``unix:/path``. Only the owner and the group can connect to a Unix socket.

    Raises:
        OSError: The address is not ours to take.
        ValueError: It is no address.
    """
    if address.startswith("unix:"):
        path = Path(address[len("unix:") :])
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left by a process that was killed
        with socket.socket(socket.AF_UNIX) as bound:
            mask = os.umask(0o117)
            try:
                bound.bind(str(path))
            finally:
                os.umask(mask)
            try:
                yield bound
            finally:
                path.unlink(missing_ok=True)
        return
    host, port = _host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        yield bound


def is_reachable_from_outside(address: str) -> bool:
    """Return whether others than the processes of this machine may connect to *address*."""
    if address.startswith("unix:"):
        return False
    host, _ = _host_and_port(address)
    return host not in ("localhost", "::1") and not host.startswith("127.")


def serve_edge(application: EdgeApplication, listening: socket.socket, *, behind: str, health_port: int | None) -> None:
    """Answer questions until SIGTERM or SIGINT, then finish what is in flight.

    Raises:
        OSError: The health port is taken.
    """
    config = uvicorn.Config(
        application,
        # Envoy's question has the client's path in the request line. h11 passes it on as it is, httptools cuts off a
        # fragment.
        http="h11" if behind == "envoy" else "auto",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    # uvicorn drains at a signal and then raises it again, for what was the handler before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    asyncio.run(_serve(uvicorn.Server(config), listening, health_port))


def _exit(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is given)
    sys.exit(0)


async def _serve(server: uvicorn.Server, listening: socket.socket, health_port: int | None) -> None:
    health = HealthServer(lambda: server.started and not server.should_exit, health_port or 0)
    if health_port is not None:
        await health.start()
    try:
        await server.serve(sockets=[listening])
    finally:
        health.close()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("it is host:port, such as 127.0.0.1:9001, or unix:/path/of/the/socket")
    return host, int(port)
