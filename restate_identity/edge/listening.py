"""Serve an edge with uvicorn, on loopback or a Unix socket, until a signal ends it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType

from restate_identity._descriptors import LossOfConnections, allow_many_connections
from restate_identity._health_server import HealthServer, Page
from restate_identity.asgi import ASGIApp

try:
    import uvicorn
except ImportError as _error:
    raise ImportError("uvicorn is missing: pip install 'restate-identity[edge]'", name=_error.name) from _error

uvloop: ModuleType | None
try:
    import uvloop
except ImportError:  # on Windows, and on PyPy
    uvloop = None

logger: logging.Logger = logging.getLogger("restate_identity")

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
        _remove_if_abandoned(path)
        with socket.socket(socket.AF_UNIX) as bound:
            mask = os.umask(0o117)
            try:
                bound.bind(str(path))
            finally:
                os.umask(mask)
            own = path.stat().st_ino
            try:
                yield bound
            finally:
                with suppress(FileNotFoundError):
                    if path.stat().st_ino == own:
                        path.unlink()
        return
    host, port = _host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        yield bound


def _remove_if_abandoned(path: Path) -> None:
    """Remove the socket of a process that was killed; raise OSError if a process still listens there."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def is_reachable_from_outside(address: str) -> bool:
    """Return whether others than the processes of this machine may connect to *address*."""
    if address.startswith("unix:"):
        return False
    host, _ = _host_and_port(address)
    return host not in ("localhost", "::1") and not host.startswith("127.")


def server_config(application: ASGIApp, behind: str) -> uvicorn.Config:
    """Return how uvicorn serves an edge for the proxy *behind*."""
    return uvicorn.Config(
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


def serve_edge(
    application: ASGIApp,
    listening: socket.socket,
    *,
    behind: str,
    health_port: int | None,
    metrics_port: int | None,
    status_host: str,
) -> None:
    """Answer questions until SIGTERM or SIGINT, then finish what is in flight.

    Raises:
        OSError: The port for health or for metrics of *status_host* is taken.
    """
    allow_many_connections()
    config = server_config(application, behind)
    # uvicorn drains at a signal and then raises it again, for what was the handler before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    # Of a request that it cannot read, uvicorn writes a line each, however many there are.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    run = asyncio.run if uvloop is None else uvloop.run
    run(_serve(uvicorn.Server(config), listening, health_port, metrics_port, status_host))


def _exit(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is given)
    sys.exit(0)


async def _serve(
    server: uvicorn.Server,
    listening: socket.socket,
    health_port: int | None,
    metrics_port: int | None,
    status_host: str,
) -> None:
    def is_serving() -> bool:
        return server.started and not server.should_exit

    asyncio.get_running_loop().set_exception_handler(LossOfConnections())
    ports: dict[int, dict[str, Page]] = {}
    if health_port is not None:
        ports[health_port] = {}
    if metrics_port is not None:
        ports[metrics_port] = {"/metrics": _metrics}
    small = [HealthServer(is_serving, port, host=status_host, pages=pages) for port, pages in ports.items()]
    try:
        for each in small:
            await each.start()
        logger.info("answering on %s", listening.getsockname())
        await server.serve(sockets=[listening])
    finally:
        for each in small:
            each.close()


def _metrics() -> tuple[str, bytes]:
    from prometheus_client import REGISTRY
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    return CONTENT_TYPE_LATEST, generate_latest(REGISTRY)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("it is host:port, such as 127.0.0.1:9001, or unix:/path/of/the/socket")
    return host, int(port)
