"""Connections to targets that are used again, and the requests that wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from restate_identity.tunnel.client.connection import TargetConnection
from restate_identity.tunnel.client.exchange import Exchange, ExchangeError, RequestHead, Version
from restate_identity.tunnel.client.group import Group
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.origins import Origin

Connect = Callable[[Origin, Version], Awaitable[TargetConnection]]


class Pool:
    """The connections of one client.

    Args:
        connect: Opens a connection, or raises `ExchangeError`.
        limits: How many connections there are, and how many requests each has.
    """

    def __init__(self, connect: Connect, limits: Limits) -> None:
        self._connect = connect
        self._limits = limits
        self._groups: dict[tuple[Origin, Version], Group] = {}
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections take requests."""
        return sum(len(group.connections) for group in self._groups.values())

    async def open(self, origin: Origin, version: Version, head: RequestHead) -> Exchange:
        """Send the head of a request to *origin*; open a connection if none has room.

        Raises:
            ExchangeError: There is no connection.
        """
        connection = self._group(origin, version).choose()
        while connection is None:
            await self._group(origin, version).changed()
            connection = self._group(origin, version).choose()
        return connection.open(head, origin.scheme)

    async def aclose(self) -> None:
        """Close all connections, and wait for them for a second."""
        self._closed = True
        groups, self._groups = list(self._groups.values()), {}
        await asyncio.gather(*(group.aclose() for group in groups))

    def _group(self, origin: Origin, version: Version) -> Group:
        if self._closed:
            raise ExchangeError("the client has stopped")
        key = (origin, version)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(
                lambda: self._connect(origin, version), self._limits, on_empty=lambda: self._forget(key)
            )
        return group

    def _forget(self, key: tuple[Origin, Version]) -> None:
        self._groups.pop(key, None)
