"""What a pool needs to know of a connection to a target, whatever its version of HTTP."""

from __future__ import annotations

from typing import Protocol

from restate_identity.tunnel.client.exchange import Exchange, RequestHead


class Watcher(Protocol):
    """Who owns a connection."""

    def has_room(self, connection: TargetConnection) -> None:
        """The connection may take a request that it had no room for."""

    def gone(self, connection: TargetConnection) -> None:
        """The connection takes no request any more. It is called once."""


class TargetConnection(Protocol):
    """A connection to a target.

    Attributes:
        watcher: Set by the owner, once the connection is established.
        multiplexes: Whether it takes several requests at a time.
        is_usable: Whether it takes new requests.
    """

    watcher: Watcher | None
    multiplexes: bool
    is_usable: bool

    @property
    def in_flight(self) -> int:
        """The number of requests that have not ended."""

    @property
    def most(self) -> int:
        """How many requests it takes at a time."""

    def open(self, head: RequestHead, scheme: str) -> Exchange:
        """Send the head of a request; the connection must be usable and have room."""

    async def gone(self, *, within: float) -> None:
        """Wait until the socket is closed, for at most *within* seconds, and then abort it."""
