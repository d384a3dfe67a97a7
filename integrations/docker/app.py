"""A Restate service in a container."""

import logging
import os

import restate

from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("DockerGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


app = restate_app([greeter], identity_keys=[os.environ["RESTATE_IDENTITY_KEY"]])
