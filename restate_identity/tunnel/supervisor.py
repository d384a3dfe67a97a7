"""Keep one lane to each target: follow changes in DNS, and stop all lanes together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from restate_identity._waiting import cancel, uninterrupted
from restate_identity.tunnel.backoff import Backoff
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.handshake import Acceptance
from restate_identity.tunnel.lane import Lane, ServerState, set_within
from restate_identity.tunnel.outage import Outage
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.resolver import ResolutionError
from restate_identity.tunnel.targets import Target

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class TargetSource(Protocol):
    """A source of targets that may change."""

    async def resolve(self) -> frozenset[Target]:
        """Return all current targets, or raise ResolutionError if they are not known."""


class Supervisor:
    """All connections of one tunnel.

    Args:
        outlet: The application, credentials and timings that all connections share.
        targets: The targets, if they never change.
        source: Alternatively, what to ask for the targets every ``timings.resolve_every`` seconds.
        on_accepted: Called with the server's answer whenever a connection begins to serve.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        targets: Iterable[Target] = (),
        source: TargetSource | None = None,
        on_accepted: Callable[[Acceptance], None],
    ) -> None:
        self._outlet = outlet
        self._fixed = tuple(targets)
        self._source = source
        self._on_accepted = on_accepted
        self._stopping = asyncio.Event()
        self._stopped_at: float  # since `stop`
        self._failure: BaseException | None = None
        self._outage = Outage()  # of the source
        self._lanes: dict[Target, Lane] = {}
        # Includes lanes whose target has gone and which still have requests in flight.
        self._tasks: dict[asyncio.Task[None], Lane] = {}

    @property
    def is_serving(self) -> bool:
        """Whether a connection serves, and the tunnel is not stopping."""
        return not self._stopping.is_set() and any(lane.is_serving for lane in self._tasks.values())

    @property
    def servers(self) -> dict[str, ServerState]:
        """The connections to each server, those that only drain among them."""
        found: dict[str, ServerState] = {}
        for lane in self._tasks.values():
            # A server may have vanished from DNS and come back while the old connections drain.
            server = str(lane.target)
            before, now = found.get(server, ServerState()), lane.state
            found[server] = ServerState(
                before.opened + now.opened, before.draining + now.draining, before.attempts + now.attempts
            )
        return found

    @property
    def failure(self) -> BaseException | None:
        """The error that stopped the tunnel, if `stop` was not called."""
        return self._failure

    async def run(self) -> None:
        """Keep the connections until `stop` is called or there is a `failure`. Return when all have ended."""
        try:
            try:
                if self._source is None:
                    self._reconcile(frozenset(self._fixed))
                    await self._stopping.wait()
                else:
                    await self._follow(self._source)
            except Exception as error:  # noqa: BLE001 (`wait_closed` raises it)
                # This is a bug of ours; requests in flight may still finish.
                self._fail(error)
            if self._tasks:
                await asyncio.wait(set(self._tasks))
            timings = self._outlet.timings
            within = self._stopped_at + timings.grace - asyncio.get_running_loop().time()
            await self._outlet.leftovers.end(within=within, farewell=timings.farewell)
        except asyncio.CancelledError:
            await uninterrupted(self._abandon())
            raise

    def stop(self) -> None:
        """Stop every connection, after up to ``timings.grace`` seconds for its requests in flight."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._stopped_at = asyncio.get_running_loop().time()
        for lane in self._tasks.values():
            lane.stop()

    # Targets.

    async def _follow(self, source: TargetSource) -> None:
        backoff = Backoff(self._outlet.timings)
        every = self._outlet.timings.resolve_every
        while not self._stopping.is_set():
            targets = await self._unless_stopped(source)
            wait = every
            if targets is not None:
                self._reconcile(targets)
            if not self._lanes:
                # No connection depends on the answer, so ask again sooner.
                wait = min(every, backoff.after_failure())
            else:
                backoff = Backoff(self._outlet.timings)
            await set_within(self._stopping, wait)

    async def _unless_stopped(self, source: TargetSource) -> frozenset[Target] | None:
        """Return the targets; None if they are not known, or if the tunnel is stopping."""
        asking = asyncio.ensure_future(source.resolve())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return None
            targets = asking.result()
            if self._outage.end():
                self._log(logging.INFO, "the servers are known again: there are %d", len(targets))
            return targets
        except ResolutionError as error:
            if self._outage.tells(asyncio.get_running_loop().time()):
                self._log(logging.WARNING, "%s; tunnel servers known before: %d", error, len(self._lanes))
            return None
        finally:
            await cancel(asking, stopped)

    def _reconcile(self, targets: frozenset[Target]) -> None:
        if self._stopping.is_set():
            return
        for target in self._lanes.keys() - targets:
            self._log(logging.INFO, "%s is no longer one of the servers", target)
            self._lanes.pop(target).stop()
        for target in sorted(targets - self._lanes.keys()):
            lane = Lane(target, self._outlet, on_accepted=self._on_accepted, on_fatal=self._fail)
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
        """Cancel all tasks that remain."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._outlet.leftovers.end(within=0, farewell=self._outlet.timings.farewell)

    def _log(self, level: int, message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        worker_id = self._outlet.credentials.worker_id
        logger.log(level, f"tunnel worker=%s: {message}", worker_id, *arguments, exc_info=exc_info)
