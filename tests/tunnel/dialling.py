"""A connection of the tunnel, run against the fake cloud for the time of a block."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.tunnel.connection import Connection
from restate_identity.tunnel.handshake import Acceptance, Credentials
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.state import Ending
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.timings import TunnelTimings
from tests.tunnel.cloud import PATIENCE, PREFIX, Address, Cloud, Exchange, Line
from tests.tunnel.echoing import echo as echo

TOKEN = "token-of-the-tests"
CREDENTIALS = Credentials(
    environment_id="env_123", tunnel_name="greeter", worker_id="worker-1", read_token=lambda: TOKEN
)
QUICK = TunnelTimings(connect=5, handshake=5, ping_every=60, ping_answer=5, grace=20, farewell=0.5)
ECHO = f"{PREFIX}/echo"


class Dialled:
    """A connection and what became known about it."""

    def __init__(
        self,
        target: Address | Target,
        app: ASGIApp = echo,
        *,
        credentials: Credentials = CREDENTIALS,
        timings: TunnelTimings = QUICK,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.acceptances: list[Acceptance] = []
        self.drains = 0
        self.on_accepted: Callable[[], object] = lambda: None
        self.connection = Connection(
            Target(*target),
            Outlet(app, credentials, timings, tls),
            on_accepted=self._on_accepted,
            on_drain=self._on_drain,
        )
        self.task = asyncio.ensure_future(self.connection.run())

    async def ending(self) -> Ending:
        """Wait for the end of the connection."""
        return await asyncio.wait_for(asyncio.shield(self.task), PATIENCE)

    @property
    def served(self) -> int:
        """How often the cloud has accepted it."""
        return len(self.acceptances)

    def _on_accepted(self, acceptance: Acceptance) -> None:
        self.acceptances.append(acceptance)
        self.on_accepted()

    def _on_drain(self) -> None:
        self.drains += 1


@asynccontextmanager
async def dialled(target: Address | Target, app: ASGIApp = echo, **options: Any) -> AsyncIterator[Dialled]:
    """Dial *target*; hang up at the end of the block."""
    dialled = Dialled(target, app, **options)
    try:
        yield dialled
    finally:
        dialled.task.cancel()
        await asyncio.wait({dialled.task})


@asynccontextmanager
async def serving(app: ASGIApp = echo, *, settings: Any = None, **options: Any) -> AsyncIterator[tuple[Dialled, Line]]:
    """Give a connection that serves *app*, and the cloud's end of it."""
    async with Cloud(settings=settings) as cloud, dialled(cloud.target, app, **options) as here:
        line = await (await cloud.line(0)).accepted()
        await until(lambda: here.served > 0)
        yield here, line


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""

    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 (it may be anything)
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), PATIENCE)


async def cancelled(task: asyncio.Task[Any], *, again: bool = True) -> None:
    """Cancel *task*, once or *again* in every turn of the loop as anyio does, and wait until it has ended."""

    async def cancel() -> None:
        task.cancel()
        while again and not task.done():
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task})

    await asyncio.wait_for(cancel(), PATIENCE)


def run(test: Awaitable[None]) -> None:
    """Run a test in an event loop of its own; a hanging one fails."""

    async def limited() -> None:
        await asyncio.wait_for(test, 4 * PATIENCE)

    asyncio.run(limited())


class Held:
    """An application that answers when it is told to.

    Attributes:
        entered: How many requests have reached it.
    """

    def __init__(self) -> None:
        self.entered = 0
        self.cancelled = 0
        self._let_go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.entered += 1
        try:
            await self._let_go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"late"})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def open(self, line: Line) -> Exchange:
        """Open a request that this application gets."""
        return line.open(ECHO, end=True)

    async def taken(self, line: Line) -> Exchange:
        """Send a request, and return when it waits here for its answer."""
        before = self.entered
        exchange = self.open(line)
        await until(lambda: self.entered > before)
        return exchange

    def let_go(self) -> None:
        """Answer, whoever waits."""
        self._let_go.set()
