"""A whole client between the fake cloud and targets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from restate_identity.tunnel.client import AllowList, ClientSettings, Limits, TunnelClient, open_client
from tests.tunnel.cloud import Cloud, Exchange, Line, Response
from tests.tunnel.tunnels import PATH, SIGNER, SOON, configured

HTTP1 = {"x-restate-tunnel-http-version": "HTTP/1.1"}


@asynccontextmanager
async def forwarding(
    *targets: str, resolve: Any = None, cloud: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[TunnelClient, Line]]:
    """Give a client that may forward to *targets*, and the cloud's end of its connection."""
    settings = {"limits": Limits(connect=5), "timings": SOON, **settings}
    async with Cloud(**(cloud or {})) as fake:
        options = configured(str(fake.target))
        complete = ClientSettings(options=options, targets=AllowList.parse(targets), **settings)
        resolving = {} if resolve is None else {"resolve": resolve}
        async with open_client(complete, **resolving) as client:
            yield client, await (await fake.line(0)).accepted()


def forwarded(origin: str, path: str = PATH) -> str:
    """Return the path with which the tunnel server asks for *path* of a target, ``http://host:port``."""
    scheme, _, authority = origin.partition("://")
    host, _, port = authority.rpartition(":")
    return f"/{scheme}/{host}/{port}{path}"


def opened(
    line: Line, origin: str, headers: Mapping[str, str] | None = None, *, path: str = PATH, **options: Any
) -> Exchange:
    """Open a signed request to a target."""
    return line.open(forwarded(origin, path), signed(headers, path), **options)


async def sent(
    line: Line, origin: str, headers: Mapping[str, str] | None = None, *, path: str = PATH, **options: Any
) -> Response:
    """Send a complete signed request to a target."""
    return await line.request(forwarded(origin, path), signed(headers, path), **options)


def signed(headers: Mapping[str, str] | None = None, path: str = PATH) -> Iterable[tuple[str, str]]:
    """Return *headers* and a genuine signature."""
    return [*SIGNER.headers(path.partition("?")[0]).items(), *(headers or {}).items()]
