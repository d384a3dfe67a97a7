"""What the command serves in the tests: it prints what happens to it, and answers when its file is there."""

from __future__ import annotations

import asyncio
import os

from restate_identity.asgi import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    # As the Restate SDK does when the first request comes in.
    if "TAKE_SIGTERM" in os.environ:
        asyncio.get_running_loop().add_signal_handler(15, print, "the application saw SIGTERM")
    print("in flight", flush=True)
    while not os.path.exists(os.environ["RELEASED"]):  # noqa: ASYNC110, ASYNC240, PTH110 (a test's file)
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"finished"})
