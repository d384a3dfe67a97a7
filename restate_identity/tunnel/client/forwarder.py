"""The application that the tunnel serves: it forwards each request to its target.

It is called only for verified requests, because the tunnel's guard is in front of it. The tunnel cancels the call when
the stream is lost, which resets the request at the target.
"""

from __future__ import annotations

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.connector import TargetRefusedError
from restate_identity.tunnel.client.counters import Counters
from restate_identity.tunnel.client.exchange import ExchangeError
from restate_identity.tunnel.client.failure_log import FailureLog
from restate_identity.tunnel.client.forwarded_request import request_head, requested_origin, requested_version
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.passage import answer, pass_through
from restate_identity.tunnel.client.pool import Pool
from restate_identity.tunnel.client.request_body import RequestBody


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
        if scope["type"] != "http":
            return  # the lifespan: there is nothing to start or to shut down
        try:
            origin = requested_origin(scope)
            version = requested_version(scope, origin)
            head = request_head(scope, origin)
        except ValueError as error:
            self._log.malformed(str(error))
            await answer(400, send, self._counters)
            return
        if not self._targets.may_be_dialled(origin):
            await self._refuse(origin, "it is not a target", send)
            return
        watch = _Watch(origin, self._counters, self._log)
        try:
            await pass_through(
                lambda head: self._pool.open(origin, version, head), head, RequestBody(receive), send, watch
            )
        except TargetRefusedError as error:
            await self._refuse(origin, str(error), send)

    async def _refuse(self, origin: Origin, why: str, send: Send) -> None:
        self._counters.refused_targets += 1
        self._log.refused(origin, why)
        await answer(403, send, self._counters)


class _Watch:
    """Counts the outcome of one request, and logs its failures."""

    def __init__(self, origin: Origin, counters: Counters, log: FailureLog) -> None:
        self._origin = origin
        self._counters = counters
        self._log = log

    def answered(self, status: int) -> None:
        self._counters.answered(status)

    def broken(self) -> None:
        self._counters.broken()

    def failed(self, error: ExchangeError) -> None:
        self._counters.failed(error)
        self._log.failed(self._origin, str(error))
