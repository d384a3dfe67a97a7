"""The demo's Restate services behind the guard, for uvicorn."""

from __future__ import annotations

import os
from pathlib import Path

import restate

from demo.services import counter, greeter
from restate_identity.asgi import Receive, RequestIdentityMiddleware, Scope, Send
from soak.control import Follower

follower = Follower(Path(os.environ["SOAK_STATE"]))
services = restate.app([greeter, counter])
guarded = RequestIdentityMiddleware(services, verifier=follower.verifier)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if os.environ.get("SOAK_PLANT") != "deaf":
        follower.follow()
    await guarded(scope, receive, send)
