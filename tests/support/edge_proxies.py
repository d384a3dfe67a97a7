"""The real reverse proxies, each with its configuration of `integrations/edge`, on free ports."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.proxies import is_installed, proxied

CONFIGURATIONS = ROOT / "integrations" / "edge"
PREFIX = "/restate"
PROXIES = ("nginx", "caddy", "traefik", "envoy", "haproxy")
INSTALLED = tuple(filter(is_installed, PROXIES))


@contextmanager
def proxy(name: str, *, edge: int, service: int) -> Iterator[int]:
    """Run the proxy *name*, which asks on port *edge* and passes on to port *service*; yield its own port."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix=f"{name}-") as folder,
        proxied(name, CONFIGURATIONS / name, Path(folder), port=port, upstream=service, edge=edge),
    ):
        wait_for_its_routes(port)
        yield port


def wait_for_its_routes(port: int) -> None:
    """Wait until the proxy on *port* has read its configuration."""
    eventually(lambda: _has_its_routes(port), failure="the proxy has no routes")


def _has_its_routes(port: int) -> bool:
    """Return whether a path below the prefix has a route: Traefik listens before it has read its files."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"{PREFIX}/health")
        return connection.getresponse().status != 404
    except OSError:
        return False
    finally:
        connection.close()
