"""A Restate service in a container."""

import logging

import restate

from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("DockerGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# The keys come from RESTATE_IDENTITY_KEYS; without them the container ends.
app = restate_app([greeter])
