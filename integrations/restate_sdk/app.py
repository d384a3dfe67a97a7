"""A service, a virtual object and a workflow that only your own Restate can call."""

import logging

import restate

from restate_identity import current_identity
from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("Greeter")
counter = restate.VirtualObject("Counter")
signup = restate.Workflow("Signup")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


@counter.handler()
async def add(ctx: restate.ObjectContext, amount: int) -> int:
    identity = current_identity()
    log.info("adding to %s, signed for %s", ctx.key(), identity.subject if identity else None)
    total = amount + (await ctx.get("total", type_hint=int) or 0)
    ctx.set("total", total)
    return total


@signup.main()
async def run(ctx: restate.WorkflowContext, email: str) -> str:
    log.info("signing up %s", email)
    return f"{email} is user {ctx.key()}"


# The keys come from RESTATE_IDENTITY_KEYS. Without them the service does not start, so it never runs unguarded.
app = restate_app([greeter, counter, signup])
