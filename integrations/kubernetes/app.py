"""A Restate service for either way. The keys come from the environment: the operator's variable, or the key file."""

import logging

import restate

from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("KubernetesGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


app = restate_app([greeter])
