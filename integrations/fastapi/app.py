"""A FastAPI site with open routes, and Restate services that only your own Restate can call."""

import logging

import restate
from fastapi import FastAPI

from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("orders")

orders = restate.Service("Orders")


@orders.handler()
async def place(ctx: restate.Context, item: str) -> str:
    log.info("placing an order for %s", item)
    return f"One {item}, coming up."


app = FastAPI()


@app.get("/menu")
async def menu() -> list[str]:
    return ["tea", "scones"]


# The keys come from RESTATE_IDENTITY_KEYS; without them the site does not start.
app.mount("/restate/v1", restate_app([orders]))
