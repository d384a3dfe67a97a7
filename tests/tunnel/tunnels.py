"""A whole tunnel against fake clouds, and requests that are signed as Restate signs them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.signing import RequestSigner
from restate_identity.tunnel import Tunnel
from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.options import TunnelOptions, tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from tests.tunnel.cloud import PREFIX, Cloud, Line, Response
from tests.tunnel.dialling import QUICK, TOKEN, Held, echo

SIGNER = RequestSigner.generate()
# Nothing of these tests waits for long: what does not come at once does not come.
SOON = replace(QUICK, backoff_first=0.001, backoff_limit=0.05, resolve_every=0.05, start_limit=10)
# A connection is a good one as soon as it serves.
STEADY = replace(SOON, steady=0.0)
# After a failure nothing is dialled again while a test lasts.
ONCE = replace(SOON, backoff_first=600, backoff_limit=600)
PATH = "/invoke/Greeter/echo"


class HeldRequests(Held):
    """The same, with no lifespan."""

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
            tunnel_name="greeter",
            environment_id="env_123",
            region=None if servers else "eu",
            signing_public_key=SIGNER.public_key,
            auth_token=None if token_file else TOKEN,
            auth_token_file=token_file,
            worker_id="worker-1",
            servers=servers or None,
        ),
    )


async def call(line: Line, path: str = PATH, *, body: bytes = b"") -> Response:
    """Send a signed request."""
    return await line.request(f"{PREFIX}{path}", SIGNER.headers(path), body=body)
