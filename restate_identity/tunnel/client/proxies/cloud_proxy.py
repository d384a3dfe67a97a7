"""`CloudProxy`: pass requests on to one API of the cloud, with the API key."""

from __future__ import annotations

from collections import Counter

from restate_identity.asgi import Receive, Send
from restate_identity.tunnel.client.counters import Counters
from restate_identity.tunnel.client.exchange import ExchangeError, Version
from restate_identity.tunnel.client.failure_log import FailureLog
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.passage import answer, pass_through
from restate_identity.tunnel.client.pool import Pool
from restate_identity.tunnel.client.proxies.bearer import Bearer
from restate_identity.tunnel.client.proxies.callers import Callers, Refusal
from restate_identity.tunnel.client.proxies.cloud_request import NOT_IN_TRAILERS, NOT_PASSED, cloud_request
from restate_identity.tunnel.client.request_body import RequestBody
from restate_identity.tunnel.request import Request


class CloudProxy:
    """Passes requests on to *origin*, and nowhere else.

    Args:
        origin: The API of the cloud.
        pool: The connections to it.
        bearer: The API key.
        callers: Which requests may pass.

    Attributes:
        counters: What became of the requests.
        refused: How many requests were refused, by reason.
    """

    def __init__(self, origin: Origin, *, pool: Pool, bearer: Bearer, callers: Callers) -> None:
        self._origin = origin
        self._authority = origin.authority.encode()
        self._pool = pool
        self._bearer = bearer
        self._callers = callers
        self._log = FailureLog()
        self.counters: Counters = Counters()
        self.refused: Counter[str] = Counter()

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Pass one request on, and its response back."""
        refusal = self._callers.refusal(request.headers)
        if refusal is None and request.method in NOT_PASSED:
            refusal = Refusal(405, "method", "CONNECT and TRACE are not passed on\n")
        if refusal is not None:
            await self.refuse(refusal, send)
            return
        try:
            bearer = self._bearer.value()
        except (OSError, ValueError) as error:
            self._log.failed(self._origin, f"the auth token cannot be read: {error}")
            await answer(502, send, self.counters)
            return
        try:
            head = cloud_request(request, authority=self._authority, bearer=bearer)
        except ValueError as error:
            await self.refuse(Refusal(400, "malformed", f"{error}\n"), send)
            return
        body = RequestBody(receive, left_out=NOT_IN_TRAILERS)
        await pass_through(lambda head: self._pool.open(self._origin, Version.HTTP2, head), head, body, send, self)

    async def refuse(self, refusal: Refusal, send: Send) -> None:
        """Answer a request with the reason why it does not pass."""
        self.refused[refusal.reason] += 1
        self._log.caller(refusal.text.strip())
        self.counters.answered(refusal.status)
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(refusal.text))]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.text.encode()})

    # `Watch`.

    def answered(self, status: int) -> None:
        """Count a response that was begun."""
        self.counters.answered(status)

    def broken(self) -> None:
        """Count a response that was reset after it was begun."""
        self.counters.broken()

    def failed(self, error: ExchangeError) -> None:
        """Count an attempt that failed, and log it once in a while."""
        self.counters.failed(error)
        self._log.failed(self._origin, str(error))
