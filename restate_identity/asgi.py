"""The guard in front of an ASGI application (ASGI 3.0)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity._quoting import quoted
from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard
from restate_identity.identity import identity_context
from restate_identity.keys import PublicKey
from restate_identity.paths import is_call, signed_path
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier, signature_headers

__all__ = ["RequestIdentityMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# A server with this ASGI extension can end a response before the request's body ends, without harm to other requests.
ENDS_EARLY = "restate_identity.ends_early"

_SCHEME = SCHEME_HEADER.encode()
_TOKEN = TOKEN_HEADER.encode()
_LENGTHS = frozenset((len(_SCHEME), len(_TOKEN)))
# The characters of a plain path, except those that mean something in a regular expression, but for the dot.
_PLAIN_ROOT_PATH = re.compile("[A-Za-z0-9._~!&',=:@/-]*").fullmatch
_AMBIGUOUS = (
    "the root_path {} is not read alike by all frameworks: let it have only letters, digits and -_~ between slashes"
)
_HEADERS = tuple((name.encode(), value.encode()) for name, value in REFUSAL_HEADERS)


class RequestIdentityMiddleware:
    """Let through only requests that your own Restate signed.

    HTTP requests and WebSocket handshakes are verified; ``lifespan`` passes; any other scope is refused. The verified
    `Identity` is in ``scope["restate_identity"]`` and in `current_identity()`; it is None for an exempt path. A
    refused request gets a 401 at once, and *app* does not run. The request's body is not kept: over HTTP/2 it is read
    and discarded, over HTTP/1.1 it is left to the server.

    Args:
        app: Any ASGI application.
        identity_keys: The keys to trust, ``publickeyv1_…``.
        verifier: Or a verifier with options of your own. Without keys and verifier, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        exempt_paths: Paths that are served to anybody: exact decoded paths, or a function that returns True for them.
        observer: Receives the outcome of every verified request, see `restate_identity.telemetry`.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous. The message says what to
            pass.
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
            # The application reads the headers too, and some iterables can be read only once.
            headers = list(headers or ())
            scope = {**scope, "headers": headers}
        scheme, token = _signature_values(headers)
        try:
            path = scope["path"]
            inner_path = None
            if root_path := scope.get("root_path"):
                if _is_ambiguous(root_path, path):
                    self._guard.refuse(path, scheme, token, _AMBIGUOUS.format(quoted(root_path)))
                inner_path = _inner_path(root_path, path)
            identity = self._guard.admit(path, scheme, token, scope.get("raw_path"), inner_path)
        except VerificationError:
            await refuse(scope, receive, send)
            return
        # Copied, because a change for the application must not reach outer layers (ASGI specification, "Middleware").
        inner_scope = dict(scope)
        inner_scope["restate_identity"] = identity
        # The same as `serving`, without the half microsecond of a context manager.
        outer_identity = identity_context.set(identity)
        try:
            await self.app(inner_scope, receive, send)
        finally:
            try:
                identity_context.reset(outer_identity)
            except ValueError:
                # The coroutine was closed from another context, where there is nothing to restore.
                pass


# A caller may choose ``root_path``: daphne takes it from the request header ``Daphne-Root-Path``, and a2wsgi from what
# gunicorn takes from ``SCRIPT_NAME``.


def _is_ambiguous(root_path: str, path: str) -> bool:
    """Return whether frameworks disagree about what *root_path* leaves of *path*.

    BlackSheep removes it from the path as it was sent, where ``%`` begins an escape. Starlette 0.35 to 0.39 reads it as
    a regular expression that it removes from the beginning of the path.
    """
    if not _PLAIN_ROOT_PATH(root_path):
        return True
    if path.startswith(root_path):
        return False
    # A dot stands for any character.
    return len(root_path) <= len(path) and all(one in (".", other) for one, other in zip(root_path, path, strict=False))


def _inner_path(root_path: str, path: str) -> str | None:
    """Return another path on which the application may route; None if there is none.

    Most frameworks remove *root_path* from the beginning of the path, Litestar wherever it occurs first. Most keep a
    path in which it does not occur, but asgi-tools always puts it in front.
    """
    # It can be told to ignore a slash at the end.
    whole = (root_path + path).rstrip("/")
    if is_call(whole) and signed_path(whole) != signed_path(path):
        return whole
    root_path = root_path.rstrip("/")
    return path.partition(root_path)[2] if root_path and root_path in path else None


def _signature_values(headers: list[tuple[bytes, bytes]]) -> tuple[str | None, str | None]:
    """Return the same as `signature_headers`, but faster in the usual case: names in lower case, none repeated."""
    scheme: bytes | None = None
    token: bytes | None = None
    try:
        for name, value in headers:
            if len(name) in _LENGTHS:
                if name == _TOKEN and token is None:
                    token = value
                elif name == _SCHEME and scheme is None:
                    scheme = value
                elif name.lower() in (_TOKEN, _SCHEME) or type(name) is not bytes:
                    return signature_headers(headers)
        # Do not search again for absent headers: a stranger may send thousands of headers.
        return (
            scheme.decode("ascii") if scheme is not None else None,
            token.decode("ascii") if token is not None else None,
        )
    except (AttributeError, TypeError, ValueError):
        pass
    return signature_headers(headers)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a 401, and refuse a WebSocket handshake as its server allows.

    The whole 401 goes out at once. Over HTTP/2 and HTTP/3 its stream stays open while the rest of the request's body
    is read and discarded, until the body ends or the caller leaves: hypercorn up to 0.18 ends a connection, with all
    other requests on it, when part of a body arrives after the end of the response (its issue 329). Over HTTP/1.1
    requests do not share the connection, so the server handles the body, and its timeouts apply.
    """
    extensions = scope.get("extensions") or {}
    if scope["type"] != "http":
        # Waiting for the caller to leave would not help: once it has sent anything, hypercorn 0.18 tells of no end.
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
    """Send the whole 401; with *more_body*, the caller must send an empty part to end it."""
    # A new list, because outer middleware may append to it.
    await send({"type": f"{prefix}.response.start", "status": REFUSAL_STATUS, "headers": list(_HEADERS)})
    # Some servers send the body of an answer to HEAD (granian over HTTP/2 does).
    body = b"" if scope.get("method") == "HEAD" else REFUSAL_BODY
    await send({"type": f"{prefix}.response.body", "body": body, "more_body": more_body})
