"""The guard in front of an ASGI application (ASGI 3.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard
from restate_identity.identity import identity_context
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier, signature_headers

__all__ = ["RequestIdentityMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# In the scope's extensions: this server can end a response before its request ends, and harm no other request by it.
ENDS_EARLY = "restate_identity.ends_early"

_SCHEME = SCHEME_HEADER.encode()
_TOKEN = TOKEN_HEADER.encode()
_SCHEME_LENGTH, _TOKEN_LENGTH = len(_SCHEME), len(_TOKEN)
_HEADERS = tuple((name.encode(), value.encode()) for name, value in REFUSAL_HEADERS)


class RequestIdentityMiddleware:
    """Let only requests through that your own Restate signed.

    HTTP requests and WebSocket handshakes are verified; ``lifespan`` passes; any other scope is refused. The verified
    `Identity` is in ``scope["restate_identity"]`` and in `current_identity()`; it is None for an exempt path. A
    refused request gets a 401 at once, and nothing of *app* runs. What comes of its body is not kept: over HTTP/2 it is
    read and thrown away, over HTTP/1.1 it is left to the server.

    Args:
        app: Any ASGI application.
        identity_keys: The keys to trust, ``publickeyv1_…``.
        verifier: Or a verifier with options of your own. With neither of the two, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        exempt_paths: Paths that are served to anybody: exact decoded paths, or a function that returns True for them.
        observer: Is told of every request that is judged, see `restate_identity.telemetry`.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous; says what to pass.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity_keys: Iterable[str | PublicKey] | None = None,
        verifier: IdentityVerifier | None = None,
        exempt_paths: Iterable[str] | Callable[[str], bool] = (),
        observer: Observer | None = None,
    ) -> None:
        self.app = app
        self._guard = RequestGuard(
            identity_keys=identity_keys, verifier=verifier, exempt_paths=exempt_paths, observer=observer
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 (the class says it)
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            if kind == "lifespan":
                await self.app(scope, receive, send)
                return
            raise NotImplementedError(f"cannot verify the ASGI scope type {kind!r}, so it is refused")
        headers = scope["headers"]
        if type(headers) is not list:
            # An iterable may be of one use, and the application wants to read it too.
            headers = list(headers or ())
            scope = {**scope, "headers": headers}
        scheme, token = _signature_values(headers)
        try:
            identity = self._guard.admit(scope["path"], scheme, token, scope.get("raw_path"))
        except VerificationError:
            await refuse(scope, receive, send)
            return
        # A copy: what is handed down must not show further up (ASGI specification, "Middleware").
        inner_scope = dict(scope)
        inner_scope["restate_identity"] = identity
        # What `serving` does, without the half microsecond that a context manager costs.
        outer_identity = identity_context.set(identity)
        try:
            await self.app(inner_scope, receive, send)
        finally:
            try:
                identity_context.reset(outer_identity)
            except ValueError:
                # A coroutine that is closed from another context left nothing there to restore.
                pass


def _signature_values(headers: list[tuple[bytes, bytes]]) -> tuple[str | None, str | None]:
    """Return what `signature_headers` returns: sooner, if neither is repeated, in lower case, as ASGI has it."""
    scheme: bytes | None = None
    token: bytes | None = None
    try:
        for name, value in headers:
            length = len(name)
            if length == _TOKEN_LENGTH:
                if name == _TOKEN and token is None:
                    token = value
                elif name.lower() == _TOKEN or type(name) is not bytes:
                    return signature_headers(headers)
            elif length == _SCHEME_LENGTH:
                if name == _SCHEME and scheme is None:
                    scheme = value
                elif name.lower() == _SCHEME or type(name) is not bytes:
                    return signature_headers(headers)
        # What is absent is not looked for a second time: a stranger may send thousands of headers.
        return (
            scheme.decode("ascii") if scheme is not None else None,
            token.decode("ascii") if token is not None else None,
        )
    except (AttributeError, TypeError, ValueError):
        pass
    return signature_headers(headers)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a 401, and a WebSocket handshake with what its server can send.

    The whole 401 goes out at once. Over HTTP/2 and HTTP/3 its stream stays open while the rest of the request's body
    is read and thrown away, until the body ends or the caller leaves: hypercorn up to 0.18 ends a connection, with all
    other requests on it, when a part of a body comes in after the end of the response (its issue 329). Over HTTP/1.1
    nobody shares the connection: the server decides what becomes of the body, and its timeouts apply.
    """
    extensions = scope.get("extensions") or {}
    if scope["type"] != "http":
        if "websocket.http.response" in extensions:
            await send_refusal("websocket.http", scope, send)
        else:
            # Without that extension an ASGI server can only answer a handshake with 403.
            await send({"type": "websocket.close"})
        return
    if scope.get("http_version", "1.1").startswith("1.") or ENDS_EARLY in extensions:
        await send_refusal("http", scope, send)
        return
    await send_refusal("http", scope, send, more_body=True)
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more_body = message.get("more_body", False)
    await send({"type": "http.response.body"})


async def send_refusal(prefix: str, scope: Scope, send: Send, *, more_body: bool = False) -> None:
    """Send the 401, all of it; with *more_body*, an empty part must follow to end it."""
    # A list of its own: middleware further up may append to it.
    await send({"type": f"{prefix}.response.start", "status": REFUSAL_STATUS, "headers": list(_HEADERS)})
    # Not every server drops the body of an answer to HEAD (granian over HTTP/2 sends it).
    body = b"" if scope.get("method") == "HEAD" else REFUSAL_BODY
    await send({"type": f"{prefix}.response.body", "body": body, "more_body": more_body})
