"""A Restate service that is guarded by the keys in the file that KEY_FILE names."""

from __future__ import annotations

import logging
import os

import restate

from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.keyring import KeyFile

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
logging.getLogger("restate_identity").setLevel(logging.INFO)

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    return f"Hello, {name}!"


app = RequestIdentityMiddleware(
    restate.app([greeter]),
    verifier=KeyFile(os.environ["KEY_FILE"], refresh_every=0.1).verifier(),
)
