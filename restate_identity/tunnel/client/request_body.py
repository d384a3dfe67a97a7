"""The body of a forwarded request, of which the beginning can be sent once more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Set

from restate_identity.asgi import Receive
from restate_identity.tunnel.client.exchange import Exchange, Field
from restate_identity.tunnel.fields import BLANKS

# How much is kept until the target has begun to answer.
KEPT = 64 * 1024


class RequestBody:
    """Passes the body on, and keeps its beginning, in case that the target refuses to process the request.

    Args:
        receive: The parts, as ASGI has them.
        left_out: The names of trailers that are not passed on.
    """

    def __init__(self, receive: Receive, *, left_out: Set[bytes] = frozenset()) -> None:
        self._receive = receive
        self._left_out = left_out
        self._kept: list[bytes] = []
        self._size = 0
        self._trailers: list[Field] = []
        self._ended = False
        self.is_kept: bool = True
        """Whether all that has come can be sent again."""

    def let_go(self) -> None:
        """Keep nothing any more, because it will not be sent again."""
        self.is_kept = False
        self._kept.clear()

    async def pass_on(self, exchange: Exchange) -> None:
        """Send all of the body, from the beginning.

        Raises:
            ExchangeError: The target does not take it.
        """
        kept = b"".join(self._kept)
        await exchange.send(kept, end=self._ended, trailers=self._trailers)
        while not self._ended:
            part = await self._next()
            await exchange.send(part, end=self._ended, trailers=self._trailers)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # The caller gave up in the middle of the body, which must not look complete to the target. The call is
            # being cancelled, and that gives the request up there.
            await asyncio.Event().wait()
        part: bytes = message.get("body", b"")
        self._ended = not message.get("more_body", False)
        trailers: Iterable[Field] = message.get("trailers", ())
        self._trailers = [(name, value.strip(BLANKS)) for name, value in trailers if name not in self._left_out]
        self._size += len(part)
        if self.is_kept:
            if self._size <= KEPT:
                self._kept.append(part)
            else:
                self.let_go()
        return part
