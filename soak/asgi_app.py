"""Restate services behind the guard, for uvicorn."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import restate

from restate_identity.asgi import Receive, RequestIdentityMiddleware, Scope, Send
from soak.control import Follower
from tests.support.services import counter

# While the clock is wrong, the server retries its calls; they must not wait for a minute.
impatient = restate.InvocationRetryPolicy(max_interval=timedelta(seconds=1))
greeter = restate.Service("Greeter", invocation_retry_policy=impatient)


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    return f"Hello, {name}!"


follower = Follower(Path(os.environ["SOAK_STATE"]))
services = restate.app([greeter, counter])
guarded = RequestIdentityMiddleware(services, verifier=follower.verifier)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if "deaf" not in os.environ["SOAK_PLANT"]:
        follower.follow()
    await guarded(scope, receive, send)
