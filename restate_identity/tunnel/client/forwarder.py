"""The application that the tunnel serves: it forwards each request to its target.

It is called only for verified requests, because the tunnel's guard is in front of it. The tunnel cancels the call when
the stream is lost, which resets the request at the target.
"""

from __future__ import annotations

import asyncio
import logging

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.beyond_asgi import RESET
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.connector import TargetRefusedError
from restate_identity.tunnel.client.counters import Counters
from restate_identity.tunnel.client.exchange import Exchange, ExchangeError, RequestHead
from restate_identity.tunnel.client.failure_log import FailureLog
from restate_identity.tunnel.client.forwarded_request import request_head, requested_origin, requested_version
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.pool import Pool
from restate_identity.tunnel.client.request_body import RequestBody

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# How often a request is sent if targets refuse to process it, as they do when they shut down.
_ATTEMPTS = 3


class Forwarder:
    """An ASGI application for `Tunnel`, with ``cancels`` set.

    Args:
        targets: Where requests may go.
        pool: The connections to targets.
        counters: Where to count.
    """

    def __init__(self, targets: AllowList, pool: Pool, counters: Counters) -> None:
        self._targets = targets
        self._pool = pool
        self._counters = counters
        self._log = FailureLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request (ASGI)."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        try:
            origin = requested_origin(scope)
            version = requested_version(scope, origin)
            if not self._targets.may_be_dialled(origin):
                await self._refuse(origin, "it is not a target", send)
                return
            head = request_head(scope, origin)
        except ValueError as error:
            self._log.malformed(str(error))
            await self._answer(400, send)
            return
        body = RequestBody(receive)
        call = _Call(head, body, send, self._counters)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await call.run(await self._pool.open(origin, version, head))
            except TargetRefusedError as error:
                await self._refuse(origin, str(error), send)
                return
            except ExchangeError as error:
                self._log.failed(origin, str(error))
                if call.started:
                    self._counters.broken += 1
                    await send({"type": RESET, "code": error.code})
                    return
                if not call.was_sent or not error.unprocessed or not body.is_kept or attempt == _ATTEMPTS:
                    await self._answer(502, send)
                    return
            else:
                return

    async def _refuse(self, origin: Origin, why: str, send: Send) -> None:
        self._counters.refused_targets += 1
        self._log.refused(origin, why)
        await self._answer(403, send)

    async def _answer(self, status: int, send: Send) -> None:
        self._counters.requests[status] += 1
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start or to shut down (ASGI lifespan)."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class _Call:
    """One request that is passed on, and its response that is passed back, both at the same time."""

    def __init__(self, head: RequestHead, body: RequestBody, send: Send, counters: Counters) -> None:
        self._ended = head.ended
        self._body = body
        self._send = send
        self._counters = counters
        self.was_sent = False
        """Whether a target got the request, so that the failure is not that of a dial."""
        self.started = False
        """Whether the response was begun."""

    async def run(self, exchange: Exchange) -> None:
        self.was_sent = True
        passing: asyncio.Task[None] | None = None
        try:
            if not self._ended:
                passing = asyncio.get_running_loop().create_task(self._pass_on(exchange))
            await self._respond(exchange)
        finally:
            if passing is not None:
                passing.cancel()
            exchange.cancel()

    async def _pass_on(self, exchange: Exchange) -> None:
        try:
            await self._body.pass_on(exchange)
        except ExchangeError:
            pass  # the response side raises it too
        except Exception:
            logger.exception("tunnel client: the body of a request could not be passed on")
            exchange.cancel()

    async def _respond(self, exchange: Exchange) -> None:
        status, headers = await exchange.head()
        self._body.let_go()
        data, ended = b"", False
        self.started = True
        self._counters.requests[status] += 1
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        while not ended:
            data, ended = await exchange.read()
            message = {"type": "http.response.body", "body": data, "more_body": not ended}
            if ended and exchange.trailers:
                message["trailers"] = exchange.trailers
            await self._send(message)
