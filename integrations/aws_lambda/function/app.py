"""A Restate service in an AWS Lambda function."""

import logging
import os

import restate

from restate_identity.restate_sdk import app

logging.getLogger().setLevel(logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("LambdaGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# On Lambda this is a handler, as with the SDK. A missing variable stops the function from starting.
handler = app([greeter], identity_keys=[os.environ["RESTATE_IDENTITY_KEY"]])
