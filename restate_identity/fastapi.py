"""The guard as a FastAPI dependency, for single routes or routers. Needs the extra ``fastapi``.

To guard a whole application, use the ASGI middleware: it comes before anything of FastAPI runs.
"""

# Without `from __future__ import annotations`: of an instance, FastAPI cannot resolve annotations that are strings.
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving
from restate_identity.identity import Identity
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import TOKEN_HEADER, IdentityVerifier, signature_headers

try:
    from fastapi import HTTPException, Response, WebSocketException
    from fastapi.openapi.models import APIKey, APIKeyIn
    from fastapi.requests import HTTPConnection
    from fastapi.security.base import SecurityBase
except ImportError as _error:
    raise ImportError(
        "the FastAPI dependency needs FastAPI: pip install 'restate-identity[fastapi]'", name=_error.name
    ) from _error

_HEADERS = dict(REFUSAL_HEADERS)
_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


class RequestIdentity(SecurityBase):
    """A dependency that is the `Identity` of the request, and lets only requests through that your own Restate signed.

    Use it as ``identity: Annotated[Identity, Depends(RequestIdentity(identity_keys=[…]))]``, or in the ``dependencies``
    of a route, a router or an application. OpenAPI describes it as an API key in the header ``x-restate-jwt-v1``.

    Until the response has been sent, the identity is also in `current_identity()`, in endpoints of both kinds. On an
    exempt path the dependency is None. A refused request gets a 401, and the endpoint does not run; but FastAPI reads
    and parses the body, and solves dependencies that come first, before this one. A refused WebSocket handshake gets a
    401 where the server can answer one with a response, and is closed where not.

    The path that is judged is the ASGI scope's ``path``.

    Args:
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
            identity = self._guard.admit(scope["path"], scheme, token, scope.get("raw_path"))
        except VerificationError:
            raise _refusal(connection) from None
        # An asynchronous generator runs in the context of the request, from which endpoints take theirs.
        with serving(identity):
            yield identity


class RefusedRequest(HTTPException):
    """A request that is not proven to come from the owner's Restate.

    Add an exception handler for it to answer in another way.
    """

    def __init__(self) -> None:
        super().__init__(REFUSAL_STATUS, "unauthorized", {"www-authenticate": _HEADERS["www-authenticate"]})


def _refusal(connection: HTTPConnection) -> Exception:
    scope = connection.scope
    if scope["type"] == "websocket" and "websocket.http.response" not in (scope.get("extensions") or {}):
        return WebSocketException(_POLICY_VIOLATION)
    # A dependency cannot return a response, and FastAPI would put another body around the detail of an exception. If
    # these handlers are ever found elsewhere, that body is what a refused caller sees.
    handlers: tuple[dict[Any, Any], dict[Any, Any]] = scope.get("starlette.exception_handlers", ({}, {}))
    handlers[0].setdefault(RefusedRequest, _answer)
    return RefusedRequest()


async def _answer(connection: HTTPConnection, error: Exception) -> Response:  # noqa: ARG001 (the signature is given)
    return Response(REFUSAL_BODY, REFUSAL_STATUS, _HEADERS)
