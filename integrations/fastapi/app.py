"""A FastAPI site with open routes, and Restate services that only your own Restate can call."""

import logging
import os

import restate
from fastapi import FastAPI

from restate_identity.restate_sdk import app as restate_app

logging.basicConfig(level=logging.INFO)
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


app.mount("/restate/v1", restate_app([orders], identity_keys=[os.environ["RESTATE_IDENTITY_KEY"]]))
