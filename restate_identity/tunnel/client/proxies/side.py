"""What a listener and the connections that it has accepted know of each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from restate_identity.asgi import Receive, Send
from restate_identity.tunnel.request import Request

Serve = Callable[[Request, Receive, Send], Awaitable[None]]


class Owner(Protocol):
    """Who has accepted a connection.

    Attributes:
        is_draining: Whether a connection must end after its requests.
    """

    is_draining: bool

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer one request. The caller cancels it when its client is lost."""

    def closed(self, side: Side) -> None:
        """The connection is gone."""


class Side(Protocol):
    """A connection that was accepted."""

    @property
    def idle_since(self) -> float | None:
        """Since when the connection has no request, in the event loop's time; None if it has one."""

    @property
    def head_since(self) -> float | None:
        """Since when the head of a request is incomplete; None if none is."""

    def leave(self) -> None:
        """Take no more requests, and close the connection once those in flight have ended."""

    def abort(self) -> None:
        """Close the socket at once."""
