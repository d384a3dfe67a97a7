"""A service of the Python SDK, with the SDK's own verifier and with none."""

from __future__ import annotations

import os

import restate

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    return f"Hello {name}!"


native = restate.app([greeter], identity_keys=[os.environ["IDENTITY_KEY"]])
unguarded = restate.app([greeter])
