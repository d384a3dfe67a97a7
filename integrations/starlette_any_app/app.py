"""A Starlette application that has nothing to do with Restate's SDK, guarded as a whole."""

import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from restate_identity.asgi import RequestIdentityMiddleware

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("stock")

stock = {"tea": 12}


async def take(request: Request) -> JSONResponse:
    item = (await request.json())["item"]
    log.info("taking one %s, signed by %s", item, request.scope["restate_identity"].key)
    stock[item] = stock.get(item, 0) - 1
    return JSONResponse({"left": stock[item]})


async def watch(websocket: WebSocket) -> None:
    await websocket.accept()
    log.info("watched by %s", websocket.scope["restate_identity"].key)
    await websocket.send_json(stock)
    await websocket.close()


async def alive(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


site = Starlette(
    routes=[
        Route("/invoke/Stock/take", take, methods=["POST"]),
        WebSocketRoute("/invoke/Stock/watch", watch),
        Route("/alive", alive),
    ],
)
# The keys come from RESTATE_IDENTITY_KEYS. Wrap the application, so that a missing key ends the process at its start:
# Starlette builds its list of middleware only at the first request.
app = RequestIdentityMiddleware(site, exempt_paths=["/alive"])
