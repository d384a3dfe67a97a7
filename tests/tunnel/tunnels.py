"""A whole tunnel against fake clouds, and requests that are signed as Restate signs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.signing import RequestSigner
from restate_identity.tunnel import Tunnel
from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.options import TunnelOptions, tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from restate_identity.tunnel.targets import Target
from tests.tunnel.cloud import PREFIX, Address, Cloud, Exchange, Line, Response
from tests.tunnel.dialling import QUICK, TOKEN, Held, echo

SIGNER = RequestSigner.generate()
# Nothing of these tests waits for long: what does not come at once does not come.
SOON = replace(QUICK, backoff_first=0.001, backoff_limit=0.05, resolve_every=0.05, start_limit=10)
# A connection is a good one as soon as it serves.
STEADY = replace(SOON, steady=0.0)
# After a failure nothing is dialled again while a test lasts.
ONCE = replace(SOON, backoff_first=600, backoff_limit=600)
PATH = "/invoke/Greeter/echo"


# uvloop is what uvicorn takes if it is installed. Its transports are of classes of their own.
EACH_LOOP = pytest.mark.parametrize(
    "anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
# What every tunnel is configured with, beside its servers.
IDENTIFIED: dict[str, Any] = {
    "tunnel_name": "greeter",
    "environment_id": "env_123",
    "signing_public_key": SIGNER.public_key,
    "auth_token": TOKEN,
}


class HeldRequests(Held):
    """The same for signed requests, with no lifespan."""

    def open(self, line: Line) -> Exchange:
        return line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await super().__call__(scope, receive, send)


def opened(
    *clouds: Cloud, app: ASGIApp = echo, timings: Any = SOON, token_file: Any = None, **given: Any
) -> AbstractAsyncContextManager[Tunnel]:
    """Return a tunnel to these *clouds*, or to those that the ``source`` names."""
    options = configured(*(str(cloud.target) for cloud in clouds), token_file=token_file)
    return open_tunnel(app, options, timings=timings, **given)


def configured(*servers: str, token_file: Any = None) -> TunnelOptions:
    """Return the options of a tunnel to these *servers*, or to those of a region."""
    return tunnel_options(
        {},
        TunnelSettings(
            **{**IDENTIFIED, "auth_token": None if token_file else TOKEN},
            region=None if servers else "eu",
            auth_token_file=token_file,
            worker_id="worker-1",
            servers=servers or None,
        ),
    )


async def call(line: Line, path: str = PATH, *, body: bytes = b"") -> Response:
    """Send a signed request."""
    return await line.request(f"{PREFIX}{path}", SIGNER.headers(path), body=body)


def script(*statuses: str) -> Callable[[Line], Awaitable[object]]:
    """Return a script that answers handshakes with these *statuses*, and the last one ever after."""
    left = list(statuses)

    async def handshake(line: Line) -> None:
        await line.handshake(left.pop(0) if len(left) > 1 else left[0])

    return handshake


class Fixed:
    """A source of targets that a test decides."""

    def __init__(self, *targets: Address) -> None:
        self.targets = frozenset(Target(*target) for target in targets)

    async def resolve(self) -> frozenset[Target]:
        return self.targets
