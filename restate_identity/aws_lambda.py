"""The guard in front of an AWS Lambda handler."""

from __future__ import annotations

import base64
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, overload

from restate_identity.errors import VerificationError
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS, REFUSAL_STATUS, RequestGuard, serving
from restate_identity.keys import PublicKey
from restate_identity.paths import oddity
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier, signature_headers

__all__ = ["require_request_identity"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def require_request_identity(
    handler: Handler,
    *,
    identity_keys: Iterable[str | PublicKey] | None = None,
    verifier: IdentityVerifier | None = None,
    exempt_paths: Iterable[str] | Callable[[str], bool] = (),
    observer: Observer | None = None,
) -> Handler: ...
@overload
def require_request_identity(
    handler: None = None,
    *,
    identity_keys: Iterable[str | PublicKey] | None = None,
    verifier: IdentityVerifier | None = None,
    exempt_paths: Iterable[str] | Callable[[str], bool] = (),
    observer: Observer | None = None,
) -> Callable[[Handler], Handler]: ...
def require_request_identity(
    handler: Handler | None = None,
    *,
    identity_keys: Iterable[str | PublicKey] | None = None,
    verifier: IdentityVerifier | None = None,
    exempt_paths: Iterable[str] | Callable[[str], bool] = (),
    observer: Observer | None = None,
) -> Handler | Callable[[Handler], Handler]:
    """Pass to *handler* only events that your own Restate signed.

    Use it as ``@require_request_identity(identity_keys=[…])`` or call it with the handler. It knows the events of
    Restate's own invocations, of API Gateway (REST APIs, and HTTP APIs in both payload formats), of function URLs and
    of Application Load Balancers. A refused event is answered with a 401 in the form that its source expects, and
    *handler* does not run. Events from other sources are refused too.

    The verified `Identity` is in `current_identity()` while the handler runs.

    The verified path is ``rawPath`` if the event has it, else ``path``, without decoding. The path in
    ``requestContext``, on which some handlers route, is verified too. Both may begin with the stage of an API, which is
    a prefix like any other. So is the path that the route of API Gateway stands for: ``resource``, ``resourcePath`` or
    ``routeKey``, filled in with ``pathParameters``. It has no stage and no base path, so an exempt path that begins
    with one must be exempt without it too.

    Args:
        handler: A Lambda handler, a function of the event and the context. It cannot be a coroutine function, because
            Lambda's Python runtime does not await it; Mangum and the Restate SDK turn ASGI applications into plain
            handlers.
        identity_keys: The keys to trust, ``publickeyv1_…``.
        verifier: Or a verifier with options of your own. Without keys and verifier, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        exempt_paths: Paths that are served to anybody: exact paths, or a function that returns True for them.
        observer: Receives the outcome of every verified request, see `restate_identity.telemetry`.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous. The message says what to
            pass.
    """
    if handler is not None:
        # Check this first: if the keys were passed as the handler, the guard would complain about missing keys.
        _check_handler(handler)
    guard = RequestGuard(identity_keys=identity_keys, verifier=verifier, exempt_paths=exempt_paths, observer=observer)

    def decorate(handler: Handler) -> Handler:
        _check_handler(handler)
        return _guarded(handler, guard)

    return decorate if handler is None else decorate(handler)


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise TypeError(
            f"the handler is a function of an event and a context, not a {type(handler).__name__}: "
            "pass keys by name, identity_keys=[...]"
        )
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        raise TypeError("the handler is a coroutine function: Lambda's Python runtime does not await it")


def _guarded(handler: Handler, guard: RequestGuard) -> Handler:
    @functools.wraps(handler)
    def guarded_handler(event: Any, context: Any) -> Any:
        request = _request(event)
        try:
            # An event of unknown shape has no path, so the core refuses it.
            scheme, token = signature_headers(request.headers)
            identity = guard.admit(request.path, scheme, token, request.other_path, request.inner_path)
        except VerificationError:
            return _refusal(request)
        with serving(identity):
            return handler(event, context)

    return guarded_handler  # type: ignore[return-value]


# Members of events from other sources. Some adapters read the path from them, whatever else the event contains.
_OF_OTHER_SOURCES = frozenset(("Records", "requestPath", "raw_path"))


class _Source(Enum):
    RESTATE = auto()
    API_GATEWAY = auto()  # also function URLs, which use its payload format 2.0
    LOAD_BALANCER = auto()
    UNKNOWN = auto()


class _Request(NamedTuple):
    source: _Source
    path: Any
    other_path: Any
    inner_path: str | None
    headers: Iterator[tuple[Any, Any]]
    multi_value: bool


def _request(event: Any) -> _Request:
    if not isinstance(event, Mapping):
        return _Request(_Source.UNKNOWN, None, None, None, iter(()), multi_value=False)
    source = _source(event)
    # API Gateway sends both kinds of headers, and "headers" has only the last value of each name.
    multi_value = event.get("multiValueHeaders") is not None
    inner_paths = _inner_paths(event)
    is_known = source is not _Source.UNKNOWN and len(inner_paths) <= 1 and not any(map(oddity, inner_paths))
    path = event.get("rawPath", event.get("path")) if is_known else None
    inner_path = next(iter(inner_paths), None)
    headers = _headers(event, multi_value=multi_value)
    return _Request(source, path, _other_path(event), inner_path, headers, multi_value)


def _source(event: Mapping[str, Any]) -> _Source:
    """Return the source of *event*, recognised by the members that each source always sends.

    No source sends both ``path`` and ``rawPath``, or members of another source. Such an event is refused, because the
    handler might route on another path than the verified one.
    """
    context = event.get("requestContext")
    if not _OF_OTHER_SOURCES.isdisjoint(event):
        return _Source.UNKNOWN
    if "rawPath" in event:
        genuine = event.get("version") == "2.0" and "path" not in event
        return _Source.API_GATEWAY if genuine else _Source.UNKNOWN
    if "path" not in event or "httpMethod" not in event:
        return _Source.UNKNOWN
    if context is None:
        return _Source.RESTATE
    if not isinstance(context, Mapping):
        return _Source.UNKNOWN
    return _Source.LOAD_BALANCER if "elb" in context else _Source.API_GATEWAY


def _other_path(event: Mapping[str, Any]) -> Any:
    """Return the path in ``requestContext``, on which some handlers route; None if there is none."""
    context = event.get("requestContext")
    if not isinstance(context, Mapping):
        return None
    http = context.get("http")
    path = http.get("path") if isinstance(http, Mapping) else context.get("path")
    return path.encode("utf-8", "backslashreplace") if isinstance(path, str) else path


# In a route of API Gateway, {name} stands for one segment of the path, and {name+} for one or more.
_PARAMETER = re.compile(r"\{([^/{}+]+)(\+?)\}")


def _inner_paths(event: Mapping[str, Any]) -> set[str]:
    """Return the paths for which the routes in *event* stand, on which some handlers route. A genuine event has one.

    API Gateway sends routes such as ``/{proxy+}``, ``POST /invoke/{service}/{handler}`` and ``$default``.
    """
    context, parameters = event.get("requestContext"), event.get("pathParameters")
    context = context if isinstance(context, Mapping) else {}
    parameters = parameters if isinstance(parameters, Mapping) else {}

    def value(parameter: re.Match[str]) -> str:
        # For the path "/", API Gateway sends the route "ANY /{proxy+}" without parameters.
        found = str(parameters.get(parameter[1], ""))
        # Left as it is, it makes the path one with more than one meaning.
        return found if parameter[2] or "/" not in found else parameter[0]

    routes = (event.get("resource"), event.get("routeKey"), context.get("resourcePath"), context.get("routeKey"))
    return {
        _PARAMETER.sub(value, "/" + str(route).partition("/")[2])
        for route in routes
        if route is not None and route != "$default"
    }


def _headers(event: Mapping[str, Any], *, multi_value: bool) -> Iterator[tuple[Any, Any]]:
    if multi_value:
        for name, values in event["multiValueHeaders"].items():
            # The core expects repeated values joined; joined here, even thousands of them cost little.
            if values != []:
                yield name, ", ".join(values)
    else:
        yield from (event.get("headers") or {}).items()


def refusal(event: Any) -> dict[str, Any]:
    """Return the 401 in the form that the source of *event* expects."""
    return _refusal(_request(event))


def _refusal(request: _Request) -> dict[str, Any]:
    headers = dict(REFUSAL_HEADERS)
    response: dict[str, Any] = {"statusCode": REFUSAL_STATUS, "headers": headers, "isBase64Encoded": False}
    if request.source is _Source.RESTATE:
        # The same form as the Restate SDK's answers.
        return {**response, "isBase64Encoded": True, "body": base64.b64encode(REFUSAL_BODY).decode()}
    response["body"] = REFUSAL_BODY.decode()
    if request.source is _Source.LOAD_BALANCER:
        response["statusDescription"] = f"{REFUSAL_STATUS} {HTTPStatus(REFUSAL_STATUS).phrase}"
        if request.multi_value:
            # With multi-value headers switched on, a load balancer ignores "headers".
            del response["headers"]
            response["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return response
