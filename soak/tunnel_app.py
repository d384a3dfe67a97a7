"""The services behind the tunnel."""

from __future__ import annotations

import os

from restate_identity.asgi import Receive, Scope, Send
from tests.tunnel.services import app as services

LEAKS = "leak" in os.environ["SOAK_PLANT"]
leaked: list[bytes] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if LEAKS:
        leaked.append(b"x" * 2**20)
    await services(scope, receive, send)
