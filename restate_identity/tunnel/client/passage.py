"""Pass one request on and its response back, both at the same time; send it again if a target refuses to process it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from h2.errors import ErrorCodes

from restate_identity.asgi import Send
from restate_identity.tunnel.beyond_asgi import RESET
from restate_identity.tunnel.client.exchange import Exchange, ExchangeError, RequestHead
from restate_identity.tunnel.client.request_body import RequestBody

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# How often a request is sent if targets refuse to process it, as they do when they shut down.
_ATTEMPTS = 3

Open = Callable[[RequestHead], Awaitable[Exchange]]


class Watch(Protocol):
    """Who counts and logs."""

    def answered(self, status: int) -> None:
        """A response was begun."""

    def broken(self) -> None:
        """A response was reset after it was begun."""

    def failed(self, error: ExchangeError) -> None:
        """An attempt failed."""


async def pass_through(open_exchange: Open, head: RequestHead, body: RequestBody, send: Send, watch: Watch) -> None:
    """Pass a request on. If there is no response, answer with an empty 502; if it breaks off, send RESET.

    Cancelling it gives the request up at the target.

    Args:
        open_exchange: Sends the head of the request. What it raises beside `ExchangeError` passes through, and so does
            a subclass of that which is no failure of the target.
        head: The head.
        body: The body.
        send: Takes the response, as ASGI has it, with `restate_identity.tunnel.beyond_asgi`.
        watch: Is told what happens.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        passage = _Passage(head, body, send, watch)
        try:
            await passage.run(await open_exchange(head))
        except ExchangeError as error:
            if type(error) is not ExchangeError:
                raise
            watch.failed(error)
            if passage.started:
                watch.broken()
                # "Not processed" is not true any more, whatever the target says: the response was begun.
                code = ErrorCodes.INTERNAL_ERROR if error.unprocessed else error.code
                await send({"type": RESET, "code": code})
                return
            if error.unprocessed and body.is_kept and attempt < _ATTEMPTS:
                continue
            await answer(502, send, watch)
        return


async def answer(status: int, send: Send, watch: Watch) -> None:
    """Answer with an empty response."""
    watch.answered(status)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body"})


class _Passage:
    """One attempt."""

    def __init__(self, head: RequestHead, body: RequestBody, send: Send, watch: Watch) -> None:
        self._ended = head.ended
        self._body = body
        self._send = send
        self._watch = watch
        self.started = False
        """Whether the response was begun."""

    async def run(self, exchange: Exchange) -> None:
        passing: asyncio.Task[None] | None = None
        try:
            if not self._ended:
                passing = asyncio.get_running_loop().create_task(self._pass_on(exchange))
            await self._pass_back(exchange)
        finally:
            if passing is not None:
                passing.cancel()
            exchange.cancel()

    async def _pass_on(self, exchange: Exchange) -> None:
        try:
            await self._body.pass_on(exchange)
        except ExchangeError:
            pass  # the other direction raises it too
        except Exception:
            logger.exception("tunnel client: the body of a request could not be passed on")
            exchange.cancel()

    async def _pass_back(self, exchange: Exchange) -> None:
        status, headers = await exchange.head()
        self._body.let_go()
        self.started = True
        self._watch.answered(status)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        ended = False
        while not ended:
            data, ended = await exchange.read()
            message = {"type": "http.response.body", "body": data, "more_body": not ended}
            if ended and exchange.trailers:
                message["trailers"] = exchange.trailers
            await self._send(message)
