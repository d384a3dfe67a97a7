"""Measure the time that the ASGI middleware adds to a request, without a server and an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.contenders import native, prove
from benchmarks.measure import calls
from benchmarks.servers.apps import asgi_scope, bare, behind_native_check
from benchmarks.session import Outcome, Session
from benchmarks.signed import SignedRequest
from restate_identity.asgi import RequestIdentityMiddleware

BARE = "trivial app"
WRAPPED = "trivial app in the middleware"
WITH_NATIVE = "trivial app after the SDK's native check"


def run(session: Session) -> Outcome:
    """Time the same trivial app alone, in the middleware, and after the native check; and the native verifier alone."""
    request = session.pair.request("/invoke/Greeter/greet")
    keys = [session.pair.public]
    verifier = native(keys)
    prove(verifier, session.pair)
    apps: dict[str, App] = {
        BARE: bare,
        WRAPPED: RequestIdentityMiddleware(bare, identity_keys=keys),
        WITH_NATIVE: behind_native_check(bare, keys),
    }
    cases = [calls(verifier.name, verifier.check, lambda: verifier.arguments([request] * session.scale.slow))]
    for name, app in apps.items():
        if status(app, request) != 200:
            raise AssertionError(f"{name} does not answer a genuine request")
        if app is not bare and status(app, request._replace(headers=request.headers[:-2])) != 401:
            raise AssertionError(f"{name} does not refuse a request without a token")
        cases.append(calls(name, call, scopes(app, request, session.scale.slow)))
    return Outcome(session.interleave(cases, turns=session.scale.turns))


Scope = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]


async def _receive() -> Scope:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Scope) -> None:
    """Accept the message without waiting, as a server with room in its buffer does."""


def call(app: App, scope: Scope) -> None:
    # Nothing here waits, so one step runs the whole request; an event loop would only add its own cost and noise.
    try:
        app(scope, _receive, _send).send(None)  # type: ignore[attr-defined]  # an awaitable that is a coroutine
    except StopIteration:
        return
    raise AssertionError("the request waits for something")


def scopes(app: App, request: SignedRequest, count: int) -> Callable[[], list[tuple[App, Scope]]]:
    return lambda: [(app, asgi_scope(request)) for _ in range(count)]


def status(app: App, request: SignedRequest) -> int:
    statuses: list[int] = []

    async def send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    try:
        app(asgi_scope(request), _receive, send).send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return statuses[0]
    raise AssertionError("the request waits for something")
