"""The guard as a FastAPI dependency, for single routes or routers. Needs the extra ``fastapi``.

To guard a whole application, use `restate_identity.asgi.RequestIdentityMiddleware`, which runs before FastAPI. As a
dependency of the application, the guard leaves mounted applications, routes made by ``add_route``, ``/docs``,
``/redoc`` and ``/openapi.json`` open to everybody, because FastAPI solves no dependencies for them.
"""

# No `from __future__ import annotations` here: FastAPI cannot resolve string annotations of an instance.
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from restate_identity._headers import TOKEN_HEADER
from restate_identity.asgi import Message, Receive, Scope, Send, refuse
from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving
from restate_identity.identity import Identity
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier, signature_headers

try:
    from fastapi import HTTPException, Request, Response, WebSocketException
    from fastapi.openapi.models import APIKey, APIKeyIn
    from fastapi.requests import HTTPConnection
    from fastapi.security.base import SecurityBase
    from starlette.requests import ClientDisconnect
except ImportError as _error:
    raise ImportError(
        "the FastAPI dependency needs FastAPI: pip install 'restate-identity[fastapi]'", name=_error.name
    ) from _error

__all__ = ["RefusedRequest", "RequestIdentity"]

_CHALLENGE = dict(REFUSAL_HEADERS)["www-authenticate"]
_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


class RequestIdentity(SecurityBase):
    """Let through only requests that your own Restate signed, and provide their `Identity` to the endpoint.

    Use it as ``identity: Annotated[Identity, Depends(RequestIdentity(identity_keys=[…]))]``, or in the ``dependencies``
    of a route or a router. As a dependency of the whole application it leaves some paths open, see above: use the ASGI
    middleware there. OpenAPI describes it as an API key in the header ``x-restate-jwt-v1``.

    Until the response has been sent, the identity is also in `current_identity()`, in ``def`` and ``async def``
    endpoints. On an exempt path the dependency is None. A refused request gets a 401, and the endpoint does not run.
    But by then FastAPI has solved earlier dependencies and, if the endpoint takes a body, has read and parsed all of
    it. Any other body is not kept: over HTTP/2 it is read and discarded after the 401, over HTTP/1.1 it is left to the
    server. A refused WebSocket handshake gets a 401 if the server can send a response to it; otherwise it is
    closed.

    The verified path is the ASGI scope's ``path``.

    Args:
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
        *,
        identity_keys: Iterable[str | PublicKey] | None = None,
        verifier: IdentityVerifier | None = None,
        exempt_paths: Iterable[str] | Callable[[str], bool] = (),
        observer: Observer | None = None,
    ) -> None:
        self._guard = RequestGuard(
            identity_keys=identity_keys, verifier=verifier, exempt_paths=exempt_paths, observer=observer
        )
        self.scheme_name = "RestateRequestIdentity"
        self.model: APIKey = APIKey.model_validate(
            {
                "in": APIKeyIn.header,
                "name": TOKEN_HEADER,
                "description": "The request identity that a Restate server signs.",
            }
        )

    async def __call__(self, connection: HTTPConnection) -> AsyncIterator[Identity | None]:  # noqa: D102
        scope = connection.scope
        try:
            scheme, token = signature_headers(scope["headers"])
            identity = self._guard.admit(scope["path"], scheme, token, scope.get("raw_path"), _inner_path(scope))
        except VerificationError:
            raise _refusal(connection) from None
        # An asynchronous generator runs in the context of the request, which endpoints inherit.
        with serving(identity):
            yield identity


def _inner_path(scope: Scope) -> str | None:
    """Return the path on which Starlette routes below ``root_path``; None if it is the whole path."""
    path, root_path = scope["path"], scope.get("root_path", "")
    is_below = root_path and (path == root_path or path.startswith(f"{root_path}/"))
    return path[len(root_path) :] if is_below else None


class RefusedRequest(HTTPException):
    """A request that is not proven to come from the owner's Restate.

    To send another answer, add an exception handler for it. This library then leaves the rest of the body alone.
    """

    def __init__(self, connection: HTTPConnection | None = None) -> None:
        super().__init__(REFUSAL_STATUS, "unauthorized", {"www-authenticate": _CHALLENGE})
        self.connection: HTTPConnection | None = connection


def _refusal(connection: HTTPConnection) -> Exception:
    scope = connection.scope
    if scope["type"] == "websocket" and "websocket.http.response" not in (scope.get("extensions") or {}):
        return WebSocketException(_POLICY_VIOLATION)
    # A dependency cannot return a response, and FastAPI would wrap the detail of an exception in another body. If
    # Starlette ever moves these handlers, a refused caller gets that body.
    handlers: tuple[dict[Any, Any], dict[Any, Any]] = scope.get("starlette.exception_handlers", ({}, {}))
    handlers[0].setdefault(RefusedRequest, _answer)
    return RefusedRequest(connection)


async def _answer(connection: HTTPConnection, error: Exception) -> Response:
    # A custom route class may have replaced the request that the handler is given.
    return _Refusal(getattr(error, "connection", None) or connection)


class _Refusal(Response):
    """The answer of the ASGI middleware; it also reads the part of the body that FastAPI has not read."""

    def __init__(self, connection: HTTPConnection) -> None:
        super().__init__(status_code=REFUSAL_STATUS)
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await refuse(scope, self._receive_rest, send)

    async def _receive_rest(self) -> Message:
        """Read the rest of the body, unless FastAPI has read it: `receive` would then wait until the caller leaves."""
        assert isinstance(self._connection, Request)
        try:
            async for _ in self._connection.stream():
                pass
        except ClientDisconnect:
            return {"type": "http.disconnect"}
        except RuntimeError:
            # The whole body was already read.
            pass
        return {"type": "http.request"}
