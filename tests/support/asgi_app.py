"""A guarded ASGI application for the real servers of `test_asgi_servers`; its routes show which requests reached it.

It is plain ASGI, so that no framework stands between the middleware and the server. The environment variable
``IDENTITY_KEYS`` holds the identity keys, joined by commas. The last segment of the path names the route.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from restate_identity import Identity, VerificationError, current_identity
from restate_identity.asgi import Message, Receive, RequestIdentityMiddleware, Scope, Send

# Events for the tests to read: "<type> <path>" for every call of the guarded routes, and the notes of these routes.
events: list[str] = []
released = asyncio.Event()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request, a socket, or the lifespan."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["path"] in _OBSERVING:
        await _OBSERVING[scope["path"]](scope, receive, send)
        return
    events.append(f"{scope['type']} {scope['path']}")
    await _ROUTES[scope["path"].rsplit("/", 1)[-1]](scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    events.append("lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Send, value: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"" if value is None else json.dumps(value).encode()})


# --- exempt routes, for the tests to observe the others


async def _health(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _answer(send, {"identity": current_identity()})


async def _events(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _answer(send, events)


async def _release(_scope: Scope, _receive: Receive, send: Send) -> None:
    released.set()
    await _answer(send, None)


# --- guarded routes


async def _identity(scope: Scope, _receive: Receive, send: Send) -> None:
    identity: Identity = scope["restate_identity"]
    current = current_identity()
    value = {"scope": identity._asdict(), "current": current and current._asdict()}
    await _answer(send, None if scope["method"] == "HEAD" else value)


async def _size(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body and answer with its size."""
    size = 0
    message = await receive()
    size += len(message["body"])
    while message.get("more_body"):
        message = await receive()
        size += len(message["body"])
    await _answer(send, size)


async def _echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """Send every piece of the body back when it arrives."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if message["body"]:
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _drip(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Send half of the answer, and the rest after a call of ``/release``."""
    released.clear()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await released.wait()
    await send({"type": "http.response.body", "body": b"last"})


async def _trailers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"trailer", b"x-sum")], "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")], "more_trailers": False})


async def _linger(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the start of an answer, then wait until the client goes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    message: Message = {"type": "http.request"}
    while message["type"] == "http.request":
        message = await receive()
    events.append(f"{message['type']} {scope['path']}")


async def _socket(scope: Scope, receive: Receive, send: Send) -> None:
    identity = current_identity()
    assert identity == scope["restate_identity"]
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    message = await receive()
    while message["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{message['text']} for {identity and identity.audience}"})
        message = await receive()


_OBSERVING: dict[str, Any] = {"/health": _health, "/events": _events, "/release": _release}
_ROUTES: dict[str, Any] = {
    "identity": _identity,
    "size": _size,
    "echo": _echo,
    "drip": _drip,
    "trailers": _trailers,
    "linger": _linger,
    "socket": _socket,
}


class Told:
    """Prints each refusal: the guard's own log limits its lines, and the tests wait for each refusal."""

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:
        """Say nothing."""

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002
        print(f"refused a request to {path!a}: {error}", flush=True)


app = RequestIdentityMiddleware(
    application,
    identity_keys=os.environ["IDENTITY_KEYS"].split(","),
    exempt_paths=list(_OBSERVING),
    observer=Told(),
)
