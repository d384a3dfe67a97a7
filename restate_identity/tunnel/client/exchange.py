"""One request to a target and its response, whatever the version of HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, Protocol

from h2.errors import ErrorCodes

Field = tuple[bytes, bytes]


class Version(Enum):
    """How to speak with a target."""

    ALPN = "what TLS agrees on"
    HTTP2 = "HTTP/2, with prior knowledge if there is no TLS"
    HTTP1 = "HTTP/1.1"


class RequestHead(NamedTuple):
    """The head of a request."""

    method: bytes
    path: bytes
    """With the query."""
    authority: bytes
    headers: list[Field]
    """In lower case; without pseudo-headers, ``host``, and what belongs to a connection."""
    ended: bool
    """Whether the request has neither body nor trailers."""


class ResponseHead(NamedTuple):
    """The head of a response."""

    status: int
    headers: list[Field]
    """In lower case, checked, and without what belongs to a connection."""


class ExchangeError(Exception):
    """The exchange failed. The message says why; it is safe to log.

    Attributes:
        unprocessed: Whether the target surely has not begun to process the request, so that it may be sent again.
        code: The error code to reset the other side with.
    """

    def __init__(
        self, reason: str, *, unprocessed: bool = False, code: ErrorCodes | int = ErrorCodes.INTERNAL_ERROR
    ) -> None:
        super().__init__(reason)
        self.unprocessed = unprocessed
        self.code = code


class Exchange(Protocol):
    """One request and its response. The methods raise `ExchangeError`.

    Attributes:
        trailers: The response's trailers, once `read` has returned its end.
    """

    trailers: list[Field]

    async def send(self, data: bytes, *, end: bool = False, trailers: Iterable[Field] = ()) -> None:
        """Send a part of the request's body; return when the target's windows and the socket have taken it.

        Once the response is complete or lost, it need not send anything, nor return: cancel it when `read` has told so.
        """

    async def head(self) -> ResponseHead:
        """Wait for the head of the final response."""

    async def read(self) -> tuple[bytes, bool]:
        """Wait for a part of the response's body; return it, and whether it was the last."""

    def cancel(self) -> None:
        """End the exchange, unless it has ended. The target sees that the request is given up."""
