"""A Restate service in an AWS Lambda function."""

import logging

import restate

from restate_identity.restate_sdk import app

logging.getLogger().setLevel(logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("LambdaGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# On Lambda this is a handler, as with the SDK. The keys come from RESTATE_IDENTITY_KEYS; without them nothing starts.
handler = app([greeter])
