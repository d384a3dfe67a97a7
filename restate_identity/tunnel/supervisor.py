"""Keeps one connection to each target: dials again, replaces what drains, follows DNS, and stops everything at once."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from restate_identity.asgi import ASGIApp
from restate_identity.tunnel.backoff import Backoff
from restate_identity.tunnel.connection import Connection, Credentials, Ending, EndingKind, Serving
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.leftovers import Leftovers
from restate_identity.tunnel.resolver import ResolutionError
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.timings import TunnelTimings

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


# A server that cannot be served is in the log as a WARNING when that begins, and then so often, in seconds.
_WARN_EVERY = 60.0


class TargetSource(Protocol):
    """Where the targets come from, when they may change."""

    async def resolve(self) -> frozenset[Target]:
        """Return all targets that there are now, or raise ResolutionError if that is not known."""


class Outlet(NamedTuple):
    """What every connection of a tunnel has in common."""

    app: ASGIApp
    credentials: Credentials
    timings: TunnelTimings
    tls: ssl.SSLContext | None


class Supervisor:
    """All connections of one tunnel.

    Args:
        outlet: What they have in common.
        targets: The targets, if they are always the same.
        source: Or where to ask for them, every ``timings.resolve_every`` seconds.
        on_serving: Called with what the server answered, whenever a connection begins to serve.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        targets: Iterable[Target] = (),
        source: TargetSource | None = None,
        on_serving: Callable[[Serving], None],
    ) -> None:
        self._outlet = outlet
        self._fixed = tuple(targets)
        self._source = source
        self._on_serving = on_serving
        self._stopping = asyncio.Event()
        self._stopped_at = 0.0
        self._failure: BaseException | None = None
        self._leftovers = Leftovers()
        self._lanes: dict[Target, _Lane] = {}
        # Also of lanes whose target has gone, and which finish what is in flight.
        self._tasks: dict[asyncio.Task[None], _Lane] = {}

    @property
    def is_serving(self) -> bool:
        """Whether a connection takes requests, and nobody has asked us to stop."""
        return not self._stopping.is_set() and any(lane.is_serving for lane in self._tasks.values())

    @property
    def failure(self) -> BaseException | None:
        """What stopped all of it, if nobody asked for that."""
        return self._failure

    async def run(self) -> None:
        """Keep the connections, until `stop` has been called, or something fatal happened, and all have ended.

        Raises:
            TunnelError: Dialling again cannot help.
        """
        try:
            try:
                if self._source is None:
                    self._reconcile(frozenset(self._fixed))
                    await self._stopping.wait()
                else:
                    await self._follow(self._source)
            except Exception as error:  # noqa: BLE001 (`wait_closed` raises it)
                # A mistake of ours: what is in flight may finish all the same.
                self._fail(error)
            while self._tasks:
                await asyncio.wait(set(self._tasks))
            timings = self._outlet.timings
            within = self._stopped_at + timings.grace - asyncio.get_running_loop().time()
            await self._leftovers.end(within=within, farewell=timings.farewell)
        finally:
            await self._abandon()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let every connection finish what is in flight and end, for up to ``timings.grace`` seconds."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._stopped_at = asyncio.get_running_loop().time()
        for lane in self._tasks.values():
            lane.stop()

    # Which targets.

    async def _follow(self, source: TargetSource) -> None:
        backoff = Backoff(self._outlet.timings)
        every = self._outlet.timings.resolve_every
        while not self._stopping.is_set():
            targets = await self._unless_stopped(source)
            wait = every
            if targets is not None:
                self._reconcile(targets)
            if not self._lanes:
                # There is nothing to lose by asking sooner.
                wait = min(every, backoff.after_failure())
            else:
                backoff = Backoff(self._outlet.timings)
            await _set_within(self._stopping, wait)

    async def _unless_stopped(self, source: TargetSource) -> frozenset[Target] | None:
        """Return the targets; None if they are not known, or if it no longer matters."""
        asking = asyncio.ensure_future(source.resolve())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return None
            return asking.result()
        except ResolutionError as error:
            self._log(logging.WARNING, "%s; %d targets stay", error, len(self._lanes))
            return None
        finally:
            for task in (asking, stopped):
                task.cancel()
            await asyncio.wait({asking, stopped})

    def _reconcile(self, targets: frozenset[Target]) -> None:
        if self._stopping.is_set():
            return
        for target in self._lanes.keys() - targets:
            self._log(logging.INFO, "%s is no longer one of the servers", target)
            self._lanes.pop(target).stop()
        for target in sorted(targets - self._lanes.keys()):
            lane = _Lane(target, self._outlet, self._leftovers, on_serving=self._on_serving, on_fatal=self._fail)
            task = asyncio.ensure_future(lane.run())
            self._lanes[target] = lane
            self._tasks[task] = lane
            task.add_done_callback(self._lane_ended)

    def _lane_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        expected = isinstance(error, TunnelError)
        if not self._stopping.is_set():
            self._failure = error
        if self._failure is error or not expected:
            self._log(
                logging.ERROR, "stops: %s", error if expected else repr(error), exc_info=None if expected else error
            )
        self.stop()

    async def _abandon(self) -> None:
        """End what is left when we are cancelled."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._leftovers.end(within=0, farewell=self._outlet.timings.farewell)

    def _log(self, level: int, message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        worker_id = self._outlet.credentials.worker_id
        logger.log(level, f"tunnel worker=%s: {message}", worker_id, *arguments, exc_info=exc_info)


class _Lane:
    """One target: a connection, and those that it replaces, which serve until the server leaves them."""

    def __init__(
        self,
        target: Target,
        outlet: Outlet,
        leftovers: Leftovers,
        *,
        on_serving: Callable[[Serving], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._target = target
        self._outlet = outlet
        self._leftovers = leftovers
        self._on_serving = on_serving
        self._on_fatal = on_fatal
        self._stopping = asyncio.Event()
        self._backoff = Backoff(outlet.timings)
        self._warned_at: float | None = None
        self._connections: dict[asyncio.Task[Ending], Connection] = {}

    @property
    def is_serving(self) -> bool:
        return any(connection.takes_requests for connection in self._connections.values())

    def stop(self) -> None:
        self._stopping.set()
        for connection in list(self._connections.values()):
            connection.stop()

    async def run(self) -> None:
        """Dial, again and again, until stopped; then let everything finish."""
        try:
            while not self._stopping.is_set():
                await _set_within(self._stopping, await self._serve_once())
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
            self._target,
            self._outlet.app,
            identity=self._outlet.credentials,
            timings=self._outlet.timings,
            tls=self._outlet.tls,
            leftovers=self._leftovers,
            warns=warns,
            on_serving=self._serves,
            on_drain=lambda _: drained.set(),
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

    def _serves(self, connection: Connection) -> None:
        assert connection.serving is not None
        self._on_serving(connection.serving)

    def _ended(self, task: asyncio.Task[Ending]) -> None:
        self._connections.pop(task)

    def _drained(self, task: asyncio.Task[Ending]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Return as soon as *event* is set, or after so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass
