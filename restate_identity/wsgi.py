"""The guard in front of a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving, steps
from restate_identity.identity import Identity
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["RequestIdentityMiddleware"]

SCHEME_VARIABLE, TOKEN_VARIABLE = (
    f"HTTP_{header.upper().replace('-', '_')}" for header in (SCHEME_HEADER, TOKEN_HEADER)
)
"""The names of the two headers in a WSGI environment and in Django's ``request.META``."""

_STATUS = f"{REFUSAL_STATUS} {HTTPStatus(REFUSAL_STATUS).phrase}"


class RequestIdentityMiddleware:
    """Let through only requests that your own Restate signed.

    The verified `Identity` is in ``environ["restate_identity"]``, and in `current_identity()` whenever code of *app*
    runs: in the call, and in each step and the closing of the iterable that it returns, on any thread. A refused
    request gets a 401, and *app* does not run. The middleware does not read the body. Some servers read it before they
    call an application: waitress all of it, gunicorn nothing.

    The verified path is ``SCRIPT_NAME`` followed by ``PATH_INFO``, as UTF-8. If the server sets ``REQUEST_URI`` or
    ``RAW_URI``, that is verified too. A path that can be read in two ways is refused, even if it would be exempt.

    A repeated header is refused if the server joins its values with commas, as gunicorn, waitress, Werkzeug and wsgiref
    do. ``X_Restate_Jwt_V1`` beside ``X-Restate-Jwt-V1`` is refused if the server gives both the same variable; most
    servers drop the one with underscores.

    A response made by the server's ``wsgi.file_wrapper`` is passed on unchanged, so that the server can still send the
    file itself; meanwhile `current_identity()` is None. If that wrapper is not a class (uWSGI), the server gets an
    iterable instead, and sends the file in blocks.

    Args:
        app: Any WSGI application.
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
        app: WSGIApplication,
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

    def __call__(  # noqa: D102 (the class says it)
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        try:
            identity = self._guard.admit(
                _path(environ),
                environ.get(SCHEME_VARIABLE),
                environ.get(TOKEN_VARIABLE),
                raw_path(environ),
                _inner_path(environ),
            )
        except VerificationError:
            start_response(_STATUS, list(REFUSAL_HEADERS))
            # Some servers send the body of an answer to HEAD.
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [REFUSAL_BODY]
        # The application gets the same dictionary, so that outer layers see what it adds (PEP 3333).
        if identity is None:
            environ.pop("restate_identity", None)
        else:
            environ["restate_identity"] = identity
        with serving(identity):
            response = self.app(environ, start_response)
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(file_wrapper, type) and isinstance(response, file_wrapper):
            return response
        return (_SizedResponse if hasattr(response, "__len__") else _Response)(response, identity)


class _Response:
    """Wraps the application's iterable: only the application's code sees the identity, not other code on the thread."""

    def __init__(self, response: Iterable[bytes], identity: Identity | None) -> None:
        self._response = response
        self._identity = identity

    def __iter__(self) -> Iterator[bytes]:
        return steps(self._response, self._identity)

    def close(self) -> None:
        close = getattr(self._response, "close", None)
        if close is not None:
            with serving(self._identity):
                close()


class _SizedResponse(_Response):
    """A response with a length: for a single block, a server can compute the Content-Length (PEP 3333)."""

    def __len__(self) -> int:
        return len(self._response)  # type: ignore[arg-type]


def raw_path(environ: WSGIEnvironment) -> bytes | None:
    """Return the target of the request line, if the server sets it.

    uWSGI, Apache, Werkzeug and waitress set ``REQUEST_URI``, gunicorn sets ``RAW_URI``.
    """
    target = environ.get("REQUEST_URI", environ.get("RAW_URI"))
    return None if target is None else target.encode("latin-1", "backslashreplace")


def _path(environ: WSGIEnvironment) -> str | None:
    """Return the path that the application routes on.

    A server passes bytes as Latin-1 text (PEP 3333, "Unicode Issues"). Each part is decoded separately, as frameworks
    do. Frameworks decode bytes that are not UTF-8 in different ways, so the result is then None.
    """
    parts = _script_name(environ), environ.get("PATH_INFO", "")
    try:
        return "".join(part.encode("latin-1").decode() for part in parts)
    except UnicodeError:
        return None


def _inner_path(environ: WSGIEnvironment) -> str | None:
    """Return the part of the path below the mount point; None if there is no mount point.

    gunicorn takes ``SCRIPT_NAME`` from a request header if the request comes from a proxy that it trusts. By default it
    trusts every client on the same machine.
    """
    return environ.get("PATH_INFO", "") if _script_name(environ) else None


def _script_name(environ: WSGIEnvironment) -> str:
    script_name: str = environ.get("SCRIPT_NAME", "")
    # For the root PEP 3333 requires an empty value, but serverless-wsgi sets "/" behind a load balancer.
    return "" if script_name == "/" else script_name
