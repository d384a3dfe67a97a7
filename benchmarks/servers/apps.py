"""The ASGI apps to compare, and a request as a server passes it to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from benchmarks.signed import SignedRequest
from restate_identity import PublicKey

BODY = b'{"ok":true}'

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
_REFUSAL = [(b"content-length", b"0")]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (the interface of ASGI)
    """Answer every request with 200."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer like `bare`, but only after the whole request has arrived, as an invocation does."""
    while (await receive()).get("more_body", False):
        pass
    await bare(scope, receive, send)


def behind_native_check(app: App, keys: Sequence[PublicKey]) -> App:
    """Return *app* behind the verification of the Python SDK, as in its ``asgi_app``."""
    from restate._internal import (  # type: ignore[import-not-found]  # compiled, without stubs
        IdentityVerificationException,
        PyIdentityVerifier,
    )
    from restate.server_types import binary_to_header

    verify = PyIdentityVerifier([str(key) for key in keys]).verify

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            verify(binary_to_header(scope["headers"]), scope["path"])
        except IdentityVerificationException:
            await send({"type": "http.response.start", "status": 401, "headers": _REFUSAL})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return checked


def asgi_scope(request: SignedRequest) -> Scope:
    """Return *request* as uvicorn passes it to an application: every object is new, as in a server."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 9080),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
        "method": "POST",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "headers": [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in request.headers],
        "state": {},
    }
