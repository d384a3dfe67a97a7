"""One lifespan for several ASGI applications, because some frameworks serve nothing before their start-up event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from restate_identity.asgi import ASGIApp, Message, Receive, Send


class Lifespans:
    """Starts *apps* when the server starts, and stops them when it stops."""

    def __init__(self, apps: Sequence[ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        lives = await started(self._apps)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        for life in lives:
            await life.step("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


async def started(apps: Sequence[ASGIApp]) -> list[Life]:
    """Start the lifespan of each, and return the objects that can end it."""
    lives = [Life(app) for app in apps]
    for life in lives:
        await life.step("startup")
    return lives


class Life:
    """The lifespan of one application."""

    def __init__(self, app: ASGIApp) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Message) -> None:
        await app(scope, self._to_app.get, self._from_app.put)

    async def step(self, name: str) -> None:
        """Have the application take its ``startup`` or its ``shutdown``."""
        await self._to_app.put({"type": f"lifespan.{name}"})
        message = await self._from_app.get()
        assert message["type"] == f"lifespan.{name}.complete", message
