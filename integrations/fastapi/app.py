"""A FastAPI site with open routes, one guarded route, and Restate services that only your own Restate can call."""

import logging
from typing import Annotated

import restate
from fastapi import Depends, FastAPI

from restate_identity import Identity
from restate_identity.fastapi import RequestIdentity
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


@app.post("/invoke/Kitchen/cook")
async def cook(item: str, identity: Annotated[Identity, Depends(RequestIdentity())]) -> dict[str, str]:
    log.info("cooking %s, signed by %s", item, identity.key)
    return {"cooked": item}


# The keys come from RESTATE_IDENTITY_KEYS; without them the site does not start.
app.mount("/restate/v1", restate_app([orders]))
