"""Keeps one connection to one server: dials again after a failure, and replaces what drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from restate_identity.tunnel.backoff import Backoff
from restate_identity.tunnel.connection import Connection
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.handshake import Acceptance
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.state import Ending, EndingKind
from restate_identity.tunnel.targets import Target

# A server that cannot be served is in the log as a WARNING when that begins, and then so often, in seconds.
_WARN_EVERY = 60.0


class Lane:
    """One target: a connection, and those that it replaces, which serve until the server leaves them.

    Args:
        target: What to dial.
        outlet: What to serve, as whom, and how.
        on_accepted: Called with what the server answered, whenever a connection begins to serve.
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
        self._warned_at: float | None = None
        self._connections: dict[asyncio.Task[Ending], Connection] = {}

    @property
    def is_serving(self) -> bool:
        """Whether a connection takes requests."""
        return any(connection.takes_requests for connection in self._connections.values())

    def stop(self) -> None:
        """Let every connection finish what is in flight and end."""
        self._stopping.set()
        for connection in list(self._connections.values()):
            connection.stop()

    async def run(self) -> None:
        """Dial, again and again, until stopped; then let everything finish."""
        try:
            while not self._stopping.is_set():
                await set_within(self._stopping, await self._serve_once())
            while self._connections:
                await asyncio.wait(set(self._connections))
        finally:
            tasks = set(self._connections)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _serve_once(self) -> float:
        """Serve until the connection has ended, or is to be replaced; return how long to wait before the next dial."""
        loop = asyncio.get_running_loop()
        warns = self._warned_at is None or loop.time() - self._warned_at >= _WARN_EVERY
        drained = asyncio.Event()
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
            # It goes on serving by itself until the server leaves it.
            running.add_done_callback(self._drained)
            return self._backoff.after_drain(connection.served_for)
        ending = running.result()
        if ending.served_for >= self._outlet.timings.steady:
            self._warned_at = None
        elif warns:
            self._warned_at = loop.time()
        if ending.kind is EndingKind.FATAL:
            self._on_fatal(TunnelError(ending.reason))
        return self._backoff.after_failure(ending.served_for)

    def _ended(self, task: asyncio.Task[Ending]) -> None:
        self._connections.pop(task)

    def _drained(self, task: asyncio.Task[Ending]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Return as soon as *event* is set, or after so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass
