"""Keep one connection to one server: dial again after a failure, and replace a connection that drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from restate_identity._waiting import limited
from restate_identity.tunnel.backoff import Backoff
from restate_identity.tunnel.connection import Connection
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.handshake import Acceptance
from restate_identity.tunnel.outage import Outage
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.state import ConnectionState, Ending, EndingKind
from restate_identity.tunnel.targets import Target

_DRAINING = (ConnectionState.DRAINING, ConnectionState.LEAVING, ConnectionState.STOPPING)


class ServerState(NamedTuple):
    """The connections to one server, at one moment."""

    opened: int = 0
    """How many serve, and are not to be replaced."""
    draining: int = 0
    """How many still serve, while the server or we are about to close them."""
    attempts: int = 0
    """How many were dialled so far."""


class Lane:
    """The connections to one target: the current one, and draining ones that serve until the server closes them.

    Args:
        target: The server to dial.
        outlet: The application, credentials and timings that all connections share.
        on_accepted: Called with the server's answer whenever a connection begins to serve.
        on_fatal: Called when the whole tunnel must stop.
    """

    def __init__(
        self,
        target: Target,
        outlet: Outlet,
        *,
        on_accepted: Callable[[Acceptance], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._target = target
        self._outlet = outlet
        self._on_accepted = on_accepted
        self._on_fatal = on_fatal
        self._stopping = asyncio.Event()
        self._backoff = Backoff(outlet.timings)
        self._outage = Outage()
        self._connections: dict[asyncio.Task[Ending], Connection] = {}
        self._attempts = 0

    @property
    def target(self) -> Target:
        """The server."""
        return self._target

    @property
    def state(self) -> ServerState:
        """How many connections there are."""
        states = [connection.state for connection in self._connections.values()]
        opened = states.count(ConnectionState.SERVING)
        return ServerState(opened, sum(state in _DRAINING for state in states), self._attempts)

    @property
    def is_serving(self) -> bool:
        """Whether at least one connection serves."""
        return any(connection.takes_requests for connection in self._connections.values())

    def stop(self) -> None:
        """Stop every connection once its requests in flight have finished."""
        self._stopping.set()
        for connection in list(self._connections.values()):
            connection.stop()

    async def run(self) -> None:
        """Keep a connection until `stop` is called, then wait until all connections have ended."""
        try:
            while not self._stopping.is_set():
                await set_within(self._stopping, await self._serve_once())
            if self._connections:
                await asyncio.wait(set(self._connections))
        finally:
            tasks = set(self._connections)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _serve_once(self) -> float:
        """Serve until the connection ends or must be replaced. Return how many seconds to wait before the next dial."""
        loop = asyncio.get_running_loop()
        warns = self._outage.is_due(loop.time())
        drained = asyncio.Event()
        self._attempts += 1
        connection = Connection(
            self._target, self._outlet, warns=warns, on_accepted=self._on_accepted, on_drain=drained.set
        )
        running = asyncio.ensure_future(connection.run())
        self._connections[running] = connection
        running.add_done_callback(self._ended)
        draining = asyncio.ensure_future(drained.wait())
        try:
            await asyncio.wait({running, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
        if drained.is_set():
            # The old connection keeps serving on its own until the server closes it.
            running.add_done_callback(self._drained)
            return self._backoff.after_drain(connection.served_for)
        ending = running.result()
        if ending.served_for > self._outlet.timings.steady:
            self._outage.end()
        elif warns:
            self._outage.logged(loop.time())
        if ending.kind is EndingKind.FATAL:
            self._on_fatal(TunnelError(ending.reason))
        return self._backoff.after_failure(ending.served_for)

    def _ended(self, task: asyncio.Task[Ending]) -> None:
        self._connections.pop(task)

    def _drained(self, task: asyncio.Task[Ending]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait until *event* is set, for at most *seconds*."""
    with suppress(asyncio.TimeoutError):
        await limited(event.wait(), seconds)
