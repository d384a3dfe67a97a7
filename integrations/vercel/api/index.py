"""A Restate service on Vercel: its Python runtime serves the ASGI application `app` of this file."""

import logging
import os

import restate

from restate_identity.restate_sdk import app as restate_app

log = logging.getLogger("greeter")
log.setLevel(logging.INFO)

greeter = restate.Service("VercelGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# Vercel calls an ASGI application, even if it runs on AWS Lambda underneath. With this variable set, the SDK would make
# a Lambda handler instead.
os.environ.pop("AWS_LAMBDA_FUNCTION_NAME", None)

# The keys come from RESTATE_IDENTITY_KEYS; without them nothing is served.
app = restate_app([greeter])
