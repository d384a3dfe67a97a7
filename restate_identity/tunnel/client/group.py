"""The connections to one origin in one version of HTTP: which one a request gets, and when another one is opened."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable

from restate_identity.tunnel.client.connection import TargetConnection
from restate_identity.tunnel.client.exchange import ExchangeError
from restate_identity.tunnel.client.limits import Limits

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# How long the last frames may take when the client stops.
_FAREWELL = 1.0
# How long after a failed dial the next one is made for those that still wait.
_PAUSE = 1.0


class Group:
    """A request asks `choose`; while that returns None, it waits for `changed` and asks again.

    Requests that find no connection share the dials that are in progress, and their failure. HTTP/1.1 needs a
    connection, and so a dial, for each. Which version a connection has is known when it is open, and the instances of
    one origin may differ in it.

    Args:
        connect: Opens a connection, or raises `ExchangeError`.
        limits: How many connections there are, and how many requests each has.
        on_empty: Called when nothing is left.

    Attributes:
        connections: Those that take requests, the newest last.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[TargetConnection]], limits: Limits, *, on_empty: Callable[[], None]
    ) -> None:
        self.connections: list[TargetConnection] = []
        self._connect = connect
        self._limits = limits
        self._on_empty = on_empty
        # Whether the newest connection does, and so probably the next.
        self._multiplexes = True
        # Whether the last dial failed, and which take long: then requests share the connections that are open.
        self._failed = False
        self._slow: set[asyncio.Task[None]] = set()
        # Those of `connections` that multiplex.
        self._shared: list[TargetConnection] = []
        # Those without multiplexing that have no request, the one to use next last.
        self._free: list[TargetConnection] = []
        self._leaving: weakref.WeakSet[TargetConnection] = weakref.WeakSet()
        self._dials: set[asyncio.Task[None]] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()

    def choose(self) -> TargetConnection | None:
        """Return the connection for the next request; None if none has room, or should have."""
        best: TargetConnection | None = None
        # The oldest first: so the newer ones become idle when there is less to do.
        for connection in self._shared:
            count = connection.in_flight
            if count < connection.most and (best is None or count < best.in_flight):
                best = connection
                if count < self._limits.streams:
                    return best
        while self._free:
            connection = self._free.pop()
            if connection.is_usable:
                return connection
        if best is not None and self._spreads:
            if not self._crowds:
                return None
            self._dial()
        return best

    async def changed(self) -> None:
        """Wait until a connection may have room.

        Raises:
            ExchangeError: There is none.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._dial()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._wake()  # somebody else gets the place
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def aclose(self) -> None:
        """Close all connections."""
        for task in self._dials:
            task.cancel()
        for waiter in self._waiters:
            _fail(waiter, ExchangeError("the client has stopped"))
        connections = [*self.connections, *self._leaving]
        await asyncio.gather(*(connection.gone(within=_FAREWELL) for connection in connections))

    # What the connections report.

    def has_room(self, connection: TargetConnection) -> None:
        """Wake those that wait for room."""
        if not connection.multiplexes:
            self._free.append(connection)
        if self._waiters:
            self._wake()

    @property
    def _spreads(self) -> bool:
        """Whether there may be another connection that multiplexes."""
        return len(self._shared) < self._limits.connections

    @property
    def _crowds(self) -> bool:
        return self._failed or bool(self._slow)

    def _wake(self) -> None:
        room = len(self._free)
        for connection in self._shared:
            most = connection.most
            if self._spreads and not self._crowds:
                most = min(most, self._limits.streams)
            room += max(most - connection.in_flight, 0)
        while self._waiters and room > 0:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def gone(self, connection: TargetConnection) -> None:
        """Choose a connection no more."""
        self.connections.remove(connection)
        for others in (self._shared, self._free):
            if connection in others:
                others.remove(connection)
        if connection.in_flight:
            self._leaving.add(connection)
        if self._waiters:
            self._dial()
        self._check_empty()

    # Dials.

    def _dial(self) -> None:
        """Open as many connections as the requests that wait need."""
        waiting = len(self._waiters)
        if self._multiplexes:
            # The first one tells what the target speaks, and whether it is there.
            wanted = -(-waiting // self._limits.streams) if self.connections and not self._crowds else 1
            most = self._limits.connections - len(self._shared)
        else:
            wanted, most = waiting, self._limits.connections_http1 - len(self.connections)
        for _ in range(min(wanted, most) - len(self._dials)):
            self._dials.add(asyncio.get_running_loop().create_task(self._open()))

    async def _open(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        patience = asyncio.get_running_loop().call_later(self._limits.patience, self._is_slow, task)
        try:
            connection = await self._connect()
        except ExchangeError as error:
            self._dialled(error)
        except Exception as error:
            logger.exception("tunnel client: a dial failed as it never should")
            # The requests must not wait for ever.
            self._dialled(ExchangeError(f"the dial failed ({type(error).__name__})"))
        else:
            if connection.is_usable:
                self._opened(connection)
            else:
                self._dialled(ExchangeError("the target closed the connection at once"))
        finally:
            patience.cancel()

    def _opened(self, connection: TargetConnection) -> None:
        self._multiplexes = connection.multiplexes
        self._failed = False
        connection.watcher = self
        self.connections.append(connection)
        if connection.multiplexes:
            self._shared.append(connection)
        self._dialled()
        self.has_room(connection)
        if self._waiters:
            # There was not enough room for all.
            self._dial()

    def _is_slow(self, dial: asyncio.Task[None]) -> None:
        self._slow.add(dial)
        self._wake()

    def _dial_again(self) -> None:
        if self._waiters:
            self._dial()

    def _dialled(self, error: ExchangeError | None = None) -> None:
        """Note the end of a dial; tell those that waited for it of a failure, unless something else may serve them."""
        # Before anything else happens: a request that finds no connection must not wait for this dial.
        task = asyncio.current_task()
        assert task is not None
        self._dials.discard(task)
        self._slow.discard(task)
        if error is None:
            return
        self._failed = True
        self._wake()
        if not self._multiplexes and self._waiters:
            _fail(self._waiters.popleft(), error)
        if not self.connections and not self._dials:
            while self._waiters:
                _fail(self._waiters.popleft(), error)
        if self._waiters:
            # All that is open is full, perhaps for hours.
            asyncio.get_running_loop().call_later(_PAUSE, self._dial_again)
        self._check_empty()

    def _check_empty(self) -> None:
        if not (self.connections or self._dials or self._waiters):
            self._on_empty()


def _fail(waiter: asyncio.Future[None], error: ExchangeError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
