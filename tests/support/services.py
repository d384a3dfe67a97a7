"""The service that the demo guards: one of each kind, served by ``hypercorn tests.support.services:app``.

The guard needs one line, the last one. The handlers return the object key that Restate signed for the request.
"""

from __future__ import annotations

import logging
import os

import restate

from restate_identity import current_identity
from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")

greeter = restate.Service("Greeter")
counter = restate.VirtualObject("Counter")
signup = restate.Workflow("Signup")


def signed_key() -> str | None:
    """Return the key of the virtual object or workflow, as signed by Restate."""
    identity = current_identity()
    return identity.subject if identity else None


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> dict[str, object]:  # noqa: ARG001
    """Say hello; a plain service has no key."""
    return {"greeting": f"Hello, {name}!", "signed_key": signed_key()}


@counter.handler()
async def add(ctx: restate.ObjectContext, amount: int) -> dict[str, object]:
    """Add to the counter with this key."""
    total = (await ctx.get("total", type_hint=int) or 0) + amount
    ctx.set("total", total)
    return {"total": total, "key": ctx.key(), "signed_key": signed_key()}


@counter.handler(kind="shared")
async def read(ctx: restate.ObjectSharedContext) -> dict[str, object]:
    """Read the counter with this key."""
    return {"total": await ctx.get("total", type_hint=int) or 0, "key": ctx.key(), "signed_key": signed_key()}


@signup.main()
async def run(ctx: restate.WorkflowContext, email: str) -> dict[str, object]:
    """Sign a user up once."""
    return {"email": email, "key": ctx.key(), "signed_key": signed_key()}


app = restate_app([greeter, counter, signup], identity_keys=[os.environ["DEMO_IDENTITY_KEY"]])
