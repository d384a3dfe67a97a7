"""A Restate service for either way: what runs it guards it."""

import logging

import restate

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("KubernetesGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


app = restate.app([greeter])
