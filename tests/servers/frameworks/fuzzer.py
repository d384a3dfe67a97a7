"""Send attacks to one application behind one server; the handlers' responses show which handler ran."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from restate_identity.signing import RequestSigner
from tests.servers.frameworks.attacks import Access, Attack, Mutator, known, relatives
from tests.servers.frameworks.clients import LambdaClient, Reply, client
from tests.servers.frameworks.routes import APP_HEADER, HEALTH, app_value, handler_that_ran
from tests.servers.frameworks.servers import Endpoint
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.lambda_events import SOURCES

SIGNER = RequestSigner.generate()
# So that the handlers of the SDK run, too.
BODY = invocation_body("", 1)
Headers = list[tuple[str, str]]


class Ran(NamedTuple):
    """A handler that ran without right."""

    target: bytes
    access: Access
    handler: str


class Tally:
    """What became of the requests to one application."""

    def __init__(self) -> None:
        self.sent = 0
        self.ran = 0
        self.statuses: Counter[int] = Counter()
        self.without_right: list[Ran] = []

    def __iadd__(self, other: Tally) -> Tally:
        self.sent += other.sent
        self.ran += other.ran
        self.statuses += other.statuses
        self.without_right += other.without_right
        return self


class Target(Protocol):
    """A server that runs the applications."""

    def ask(self, framework: str, target: bytes, access: Access) -> Reply: ...

    def handlers_that_ran(self) -> int:
        """Return how often a handler of the server ran, as the server itself counted it."""

    def retried(self) -> int:
        """Return how many requests were sent twice, since the connection broke."""

    def close(self) -> None: ...


class HttpTarget:
    """A server, over one version of HTTP."""

    def __init__(self, port: int, http: int) -> None:
        self._client = client(port, http)
        self._observer = client(port, 1)

    def ask(self, framework: str, target: bytes, access: Access) -> Reply:
        headers = [(APP_HEADER, app_value(framework, access.exemption)), *_headers(access)]
        # hypercorn ends a connection over HTTP/2 when a body comes after its answer.
        body = BODY if framework == "restate" else b""
        return self._client.ask(target, [(name.encode(), value.encode()) for name, value in headers], body)

    def handlers_that_ran(self) -> int:
        counted: dict[str, int] = json.loads(self._observer.ask(b"/", [], b"").body)
        return sum(counted.values())

    def retried(self) -> int:
        return self._client.retried

    def close(self) -> None:
        self._client.close()
        self._observer.close()


class LambdaTarget:
    """Handlers that are invoked with an event for each target, of a source and in a form that are drawn."""

    def __init__(self, port: int, sources: Sequence[str] = tuple(SOURCES)) -> None:
        self._client = LambdaClient(port)
        self._random = random.Random(port)
        self._sources = sources

    def seed(self, seed: str) -> None:
        self._random.seed(seed)

    def ask(self, framework: str, target: bytes, access: Access) -> Reply:
        draw = self._random
        source = draw.choice(self._sources)
        path = draw.choice((target, target, unquote_to_bytes(target), target.partition(b"?")[0])).decode("latin-1")
        status, body = self.invoke(framework, source, path, access)
        if status == 401:
            # No source tells two paths, but handlers read the one or the other.
            bait = access.audience or HEALTH
            first, second = draw.choice(((bait, path), (path, bait)))
            status, body = self.invoke(framework, source, first, access, second)
        return Reply(status, body.encode())

    def invoke(
        self, framework: str, source: str, path: str, access: Access, path_in_context: str | None = None
    ) -> tuple[int, str]:
        headers = [("host", "x.execute-api.eu-central-1.amazonaws.com"), *_headers(access)]
        event = SOURCES[source](path, headers, BODY)
        context = event.get("requestContext", {})
        if path_in_context is not None and "path" in (place := context.get("http", context)):
            place["path"] = path_in_context
        status, body = self._client.invoke(app_value(framework, access.exemption), event)
        return status, body

    def handlers_that_ran(self) -> int:
        counted: dict[str, int] = self._client.invoke(None)
        return sum(counted.values())

    def retried(self) -> int:
        return 0

    def close(self) -> None:
        self._client.close()


def opened(endpoint: Endpoint, ports: dict[str, int]) -> Target:
    """Return the target that *endpoint* is, of the servers that listen on *ports*."""
    port = ports[endpoint.server]
    return HttpTarget(port, endpoint.http) if endpoint.http else LambdaTarget(port)


def attack(target: Target, framework: str, attacks: Iterable[Attack]) -> Tally:
    """Send *attacks*, and return what became of them."""
    tally = Tally()
    for path, access in attacks:
        reply = target.ask(framework, path, access)
        tally.sent += 1
        tally.statuses[reply.status] += 1
        handler = handler_that_ran(reply.body)
        if handler is not None:
            tally.ran += 1
            if not access.permits(handler):
                tally.without_right.append(Ran(path, access, handler))
    return tally


def drawn(seed: str, related: int, mutated: int) -> list[Attack]:
    """Return the known attacks, and those of their relatives and mutations that *seed* draws."""
    all_relatives = relatives()
    sample = random.Random(seed).sample(all_relatives, min(related, len(all_relatives)))
    return [*known(), *sample, *Mutator(seed).attacks(mutated)]


def _headers(access: Access) -> Headers:
    headers = [("content-type", CONTENT_TYPE)]
    if access.audience is not None:
        headers += _signed(access.audience, int(time.time()) // 30)
    return headers


@lru_cache(maxsize=64)
def _signed(audience: str, _half_minute: int) -> Headers:
    return list(SIGNER.headers(audience).items())
