"""The guard as a Django middleware, for WSGI and ASGI. Needs the extra ``django``.

Add ``restate_identity.django.RequestIdentityMiddleware`` to ``MIDDLEWARE``, before all middleware that must not run for
a refused request, and set:

``RESTATE_IDENTITY_KEYS``
    The keys to trust, ``publickeyv1_…``.
``RESTATE_IDENTITY_VERIFIER``
    Or a verifier with options of your own. Without keys and verifier, the keys come from the environment
    (`restate_identity.keyring.verifier_from_environment`).
``RESTATE_IDENTITY_EXEMPT_PATHS``
    Paths that are served to anybody: exact decoded paths, or a function that returns True for them. None by default.
    A path that ends with a slash, as most paths of Django do, is never exempt: give the view a path without it.
``RESTATE_IDENTITY_OBSERVER``
    An object that receives the outcome of every verified request, see `restate_identity.telemetry`. None by default.

Under ASGI, put `restate_identity.asgi.RequestIdentityMiddleware` around ``get_asgi_application()`` too: Django reads
the body of a request before it runs ``MIDDLEWARE``, and writes a large one to disk.

Add ``restate_identity.django`` to ``INSTALLED_APPS`` as well: then Django's system checks report a mistake in these
settings, a misspelt name, and a middleware that is missing or in the last place. Even without the checks, a mistake in
a setting keeps the server from starting, because the middleware cannot be built.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving, steps
from restate_identity.identity import Identity
from restate_identity.wsgi import SCHEME_VARIABLE, TOKEN_VARIABLE, raw_path

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.conf import settings
    from django.core import checks
    from django.core.exceptions import ImproperlyConfigured
    from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
    from django.http.response import HttpResponseBase
except ImportError as _error:
    raise ImportError(
        "the Django middleware needs Django: pip install 'restate-identity[django]'", name=_error.name
    ) from _error

__all__ = ["RequestIdentityMiddleware", "check_settings"]

_PREFIX = "RESTATE_IDENTITY_"
# Each setting with its option of `RequestGuard`.
SETTINGS = {
    f"{_PREFIX}KEYS": "identity_keys",
    f"{_PREFIX}VERIFIER": "verifier",
    f"{_PREFIX}EXEMPT_PATHS": "exempt_paths",
    f"{_PREFIX}OBSERVER": "observer",
}

Response = HttpResponseBase | Awaitable[HttpResponseBase]


class RequestIdentityMiddleware:
    """Let through only requests that your own Restate signed, as configured by the settings of this module.

    The verified `Identity` is in ``request.restate_identity`` (None on an exempt path) and in `current_identity()`, in
    views and in the content of streaming responses, but not in that of a ``FileResponse``, which servers read
    themselves. A refused request gets a 401, and no view and no later middleware runs. Under WSGI, Django has not read
    its body. Under ASGI, Django has read the whole body, and written one of more than ``FILE_UPLOAD_MAX_MEMORY_SIZE``
    (2.5 MB) to a temporary file. The ASGI middleware around ``get_asgi_application()`` refuses before that.

    The verified path is ``request.path``.

    Raises:
        ImproperlyConfigured: The settings are incomplete or wrong. The message says what to set.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Response]) -> None:
        self.get_response = get_response
        self._guard = _guard_from_settings()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response:  # noqa: D102 (the class says it)
        if self._is_async:
            return self._serve_async(request)
        try:
            identity = self._admit(request)
        except VerificationError:
            return _refusal()
        with serving(identity):
            response = cast(HttpResponseBase, self.get_response(request))
        return _streamed(response, identity)

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        try:
            identity = self._admit(request)
        except VerificationError:
            return _refusal()
        with serving(identity):
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        return _streamed(response, identity)

    def _admit(self, request: HttpRequest) -> Identity | None:
        meta = request.META
        raw = raw_path(meta) if not hasattr(request, "scope") else request.scope.get("raw_path")
        inner = None if request.path_info == request.path else request.path_info
        identity = self._guard.admit(request.path, meta.get(SCHEME_VARIABLE), meta.get(TOKEN_VARIABLE), raw, inner)
        request.restate_identity = identity  # type: ignore[attr-defined]
        return identity


def _refusal() -> HttpResponse:
    response = HttpResponse(REFUSAL_BODY, status=REFUSAL_STATUS, headers=dict(REFUSAL_HEADERS))
    # The guard has logged it, with a limit. Django would log every one as a warning of its own.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _streamed(response: HttpResponseBase, identity: Identity | None) -> HttpResponseBase:
    """Set the identity for the content of a streaming response too, which is produced after the middleware returns."""
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        content: Any = response.streaming_content
        response.streaming_content = _async_steps(content, identity) if response.is_async else steps(content, identity)
    return response


async def _async_steps(iterable: AsyncIterable[bytes], identity: Identity | None) -> AsyncIterator[bytes]:
    iterator = aiter(iterable)
    while True:
        with serving(identity):
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return
        yield item


def _guard_from_settings() -> RequestGuard:
    keys, verifier, exempt_paths, observer = SETTINGS
    # Check them one after the other, so that an error names the right setting.
    verifier_in_force = _guard((keys, verifier), **_options(keys, verifier)).verifier
    _guard((exempt_paths,), verifier=verifier_in_force, **_options(exempt_paths))
    return _guard((observer,), verifier=verifier_in_force, **_options(exempt_paths, observer))


def _options(*names: str) -> dict[str, Any]:
    return {SETTINGS[name]: getattr(settings, name) for name in names if hasattr(settings, name)}


def _guard(about: tuple[str, ...], **options: Any) -> RequestGuard:
    try:
        return RequestGuard(**options)
    except (TypeError, ValueError) as error:
        which = [name for name in about if getattr(settings, name, None) is not None] or about[:1]
        raise ImproperlyConfigured(f"{' and '.join(which)} in the settings cannot be used: {error}") from error


@checks.register(checks.Tags.security)
def check_settings(app_configs: Sequence[Any] | None, **_: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """Report unusable settings, unknown settings, and a middleware that is missing or in the last place."""
    messages: list[checks.CheckMessage] = []
    try:
        _guard_from_settings()
    except ImproperlyConfigured as error:
        messages.append(
            checks.Error(
                str(error),
                hint="RESTATE_IDENTITY_KEYS is a list of the publickeyv1_... that your Restate servers print at "
                "start-up, and may be left to the environment; RESTATE_IDENTITY_EXEMPT_PATHS is a list of exact "
                "paths, or a function.",
                id="restate_identity.E001",
            )
        )
    name = f"{__name__}.{RequestIdentityMiddleware.__qualname__}"
    if name not in settings.MIDDLEWARE:
        messages.append(
            checks.Warning(
                f"{name} is not in MIDDLEWARE: no request is verified by it.",
                hint=f"Add {name!r} to MIDDLEWARE. If you guard the views in another way, silence this check.",
                id="restate_identity.W001",
            )
        )
    elif len(settings.MIDDLEWARE) > 1 and settings.MIDDLEWARE[-1] == name:
        messages.append(
            checks.Warning(
                f"{name} is the last of MIDDLEWARE: all the others run for requests that it then refuses.",
                hint="Make it the first. If the others must come before it, silence this check.",
                id="restate_identity.W002",
            )
        )
    messages += [
        checks.Warning(
            f"{unknown} is no setting of this library, and is not read.",
            hint=f"The settings are {', '.join(SETTINGS)}. A key file is named by the environment only.",
            id="restate_identity.W003",
        )
        for unknown in dir(settings)
        if unknown.startswith(_PREFIX) and unknown not in SETTINGS
    ]
    return messages
