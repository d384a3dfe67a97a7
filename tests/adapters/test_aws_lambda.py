"""The guard of Lambda handlers, called as Lambda's Python runtime calls them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import restate as restate_sdk
from restate.aws_lambda import wrap_asgi_as_lambda_handler

from restate_identity import Identity, current_identity
from restate_identity.aws_lambda import require_request_identity
from restate_identity.signing import RequestSigner
from tests.support.lambda_events import SOURCES, Event, http_api, load_balancer, rest_api, restate

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]
# Made on import: the tests may run minutes later.
HEADERS = [("content-type", "application/json"), *SIGNER.headers(PATH, leeway=3600).items()]

BODY = '{"error":"unauthorized"}'
ANSWER_HEADERS = {
    "content-type": "application/json",
    "content-length": "24",
    "www-authenticate": "RestateRequestIdentity",
}
PLAIN = {"statusCode": 401, "headers": ANSWER_HEADERS, "body": BODY, "isBase64Encoded": False}
REFUSALS = {
    "restate": {**PLAIN, "body": base64.b64encode(BODY.encode()).decode(), "isBase64Encoded": True},
    "rest_api": PLAIN,
    "http_api": PLAIN,
    "http_api_v1": PLAIN,
    "load_balancer": {**PLAIN, "statusDescription": "401 Unauthorized"},
    "load_balancer_multi_value": {
        "statusCode": 401,
        "statusDescription": "401 Unauthorized",
        "multiValueHeaders": {name: [value] for name, value in ANSWER_HEADERS.items()},
        "body": BODY,
        "isBase64Encoded": False,
    },
}


class Handler:
    """A Lambda handler that notes how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Identity | None]] = []

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        self.calls.append((event, context, current_identity()))
        return {"statusCode": 200}


def call(event: Any, **options: Any) -> tuple[dict[str, Any], Handler]:
    handler = Handler()
    guarded = require_request_identity(handler, **{"identity_keys": KEYS, **options})
    return guarded(event, "context"), handler


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_signed_event_reaches_the_handler_as_it_is(source: str) -> None:
    event = SOURCES[source](PATH, HEADERS, b"\x00\xff")
    answer, handler = call(event)
    assert answer == {"statusCode": 200}
    [(seen, context, identity)] = handler.calls
    assert seen is event
    assert context == "context"
    assert identity is not None
    assert identity.audience == PATH
    assert current_identity() is None


def test_an_unsigned_event_is_refused_in_the_form_of_its_source(source: str) -> None:
    answer, handler = call(SOURCES[source](PATH, [("accept", "*/*")]))
    assert answer == REFUSALS[source]
    assert handler.calls == []
    json.dumps(answer)


def test_header_names_in_any_case_are_found(source: str) -> None:
    event = SOURCES[source](PATH, HEADERS)
    for member in ("headers", "multiValueHeaders"):
        if event.get(member):
            event[member] = {name.title(): value for name, value in event[member].items()}
    assert call(event)[0]["statusCode"] == 200


@pytest.mark.parametrize("name", ["x-restate-signature-scheme", "x-restate-jwt-v1"])
@pytest.mark.parametrize("order", [1, -1])
# A load balancer without multi-value headers keeps the last value only: there is nothing to see.
@pytest.mark.parametrize("source", [source for source in SOURCES if source != "load_balancer"])
def test_a_repeated_header_is_refused(source: str, name: str, order: int) -> None:
    repeated = [*HEADERS, (name, "again")][::order]
    assert call(SOURCES[source](PATH, repeated))[0] == REFUSALS[source]


def test_two_headers_whose_names_differ_in_case_are_one_repeated_header(source: str) -> None:
    event = SOURCES[source](PATH, HEADERS)
    member = "multiValueHeaders" if event.get("multiValueHeaders") else "headers"
    event[member]["X-Restate-JWT-v1"] = event[member]["x-restate-jwt-v1"]
    assert call(event)[0] == REFUSALS[source]


def test_a_header_without_any_value_is_none() -> None:
    event = SOURCES["rest_api"](PATH, HEADERS)
    event["multiValueHeaders"]["X-Restate-JWT-v1"] = []
    assert call(event)[0]["statusCode"] == 200


def test_an_exempt_event_reaches_the_handler_without_an_identity(source: str) -> None:
    handler = Handler()
    inner = require_request_identity(handler, identity_keys=KEYS, exempt_paths=[PATH])
    outer = require_request_identity(inner, identity_keys=KEYS)
    assert outer(SOURCES[source](PATH, HEADERS), None) == {"statusCode": 200}
    assert [identity for _, _, identity in handler.calls] == [None]


@pytest.mark.parametrize("headers", [None, {}, [], "headers", 5, {None: "v1"}, {"x-restate-jwt-v1": None}])
def test_bad_or_missing_headers_are_refused(source: str, headers: Any) -> None:
    event = SOURCES[source](PATH, HEADERS)
    members = [member for member in ("headers", "multiValueHeaders") if member in event]
    for change in (lambda member: event.update({member: headers}), event.pop):
        for member in members:
            change(member)
        answer, handler = call(event)
        assert (answer["statusCode"], handler.calls) == (401, [])


@pytest.mark.parametrize("value", [None, 5, ["v1", None], [5], {"a": "b"}, "\xff\u20ac\ud800", "x" * 100_000])
@pytest.mark.parametrize("name", ["x-restate-signature-scheme", "x-restate-jwt-v1"])
def test_bad_header_values_are_refused(source: str, name: str, value: Any) -> None:
    event = SOURCES[source](PATH, HEADERS)
    for member in ("headers", "multiValueHeaders"):
        if event.get(member):
            event[member][name] = value
    answer, handler = call(event)
    assert (answer["statusCode"], handler.calls) == (401, [])


def test_where_there_are_multi_value_headers_the_single_ones_do_not_count() -> None:
    event = rest_api(PATH, HEADERS)
    assert call({**event, "headers": None})[0]["statusCode"] == 200
    assert call({**event, "multiValueHeaders": None})[0]["statusCode"] == 200
    assert call({**event, "multiValueHeaders": {"accept": ["*/*"]}})[0]["statusCode"] == 401


@pytest.mark.parametrize(
    "path",
    ["", "/", "/invoke/Greeter/gr%65et", "/a/../invoke/Greeter/other", "/invoke//greet", "\ud800", "/x" * 500_000],
)
def test_a_path_that_is_not_the_signed_one_is_refused_whatever_it_looks_like(source: str, path: str) -> None:
    answer, handler = call(SOURCES[source](path, HEADERS))
    assert (answer["statusCode"], handler.calls) == (401, [])


@pytest.mark.parametrize("path", [None, 5, b"/invoke/Greeter/greet", [PATH]])
def test_a_path_that_is_not_text_is_refused_whatever_is_exempt(source: str, path: Any) -> None:
    event = SOURCES[source](PATH, HEADERS)
    event["rawPath" if "rawPath" in event else "path"] = path
    answer, handler = call(event, exempt_paths=lambda _: True)
    assert (answer["statusCode"], handler.calls) == (401, [])


def without(event: Event, member: str) -> Event:
    return {name: value for name, value in event.items() if name != member}


UNKNOWN_EVENTS = {
    "nothing": None,
    "text": PATH,
    "a list": [restate(PATH, HEADERS)],
    "an empty event": {},
    "a queue": {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(restate(PATH, HEADERS))}]},
    "a schedule": {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    "headers only": {"headers": dict(HEADERS)},
    "no path": without(restate(PATH, HEADERS), "path"),
    "no path from a load balancer": without(load_balancer(PATH, HEADERS), "path"),
    "no raw path": without(http_api(PATH, HEADERS), "rawPath"),
    "no method": without(restate(PATH, HEADERS), "httpMethod"),
    "no version": without(http_api(PATH, HEADERS), "version"),
    "a version to come": {**http_api(PATH, HEADERS), "version": "3.0"},
    "a request context that is no object": {**restate(PATH, HEADERS), "requestContext": "elb"},
    # The handler might route on the path that was not verified.
    "two paths, in format 2.0": {**http_api(PATH, HEADERS), "path": "/invoke/Admin/delete", "httpMethod": "POST"},
    "two paths, from Restate": {**restate("/invoke/Admin/delete", HEADERS), "rawPath": PATH},
    "two paths, from Restate, the other way round": {**restate(PATH, HEADERS), "rawPath": "/invoke/Admin/delete"},
    **{
        f"{source}, with {member}": {**make(PATH, HEADERS), member: other}
        for source, make in SOURCES.items()
        for member, other in {
            "Records": [{"cf": {"request": {"uri": "/invoke/Admin/delete"}}}],
            "requestPath": "/invoke/Admin/delete",
            "raw_path": "/invoke/Admin/delete",
        }.items()
    },
}


@pytest.mark.parametrize("name", UNKNOWN_EVENTS)
def test_an_event_of_unknown_shape_is_refused_whatever_is_exempt(name: str) -> None:
    answer, handler = call(UNKNOWN_EVENTS[name], exempt_paths=[PATH, "/invoke/Admin/delete"])
    assert (answer, handler.calls) == (PLAIN, [])


@pytest.mark.parametrize("name", ["nothing", "an empty event", "a queue", "a schedule"])
def test_the_log_says_of_an_event_without_a_path_that_it_is_no_http_request(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    call(UNKNOWN_EVENTS[name])
    assert caplog.messages == [
        "refused a request to no path: missing_scheme: there is no x-restate-signature-scheme header, "
        "and no path that can be read: this is no HTTP request, or its path is not UTF-8"
    ]


def test_the_log_says_so_of_an_event_with_a_signature_too(caplog: pytest.LogCaptureFixture) -> None:
    call(UNKNOWN_EVENTS["headers only"])
    assert (
        "wrong_audience: there is no path that can be read: this is no HTTP request, or its path is not UTF-8"
        in caplog.text
    )


@pytest.mark.parametrize("source", ["rest_api", "http_api", "http_api_v1"])
@pytest.mark.parametrize("exempt", [[], [PATH], [PATH, "/invoke/Admin/delete"]])
def test_an_event_whose_request_context_has_another_path_is_refused(source: str, exempt: list[str]) -> None:
    event = SOURCES[source](PATH, HEADERS)
    context = event["requestContext"].get("http", event["requestContext"])
    context["path"] = f"/prod{PATH}"
    assert call(event, exempt_paths=exempt)[0]["statusCode"] == 200
    for other in ("/invoke/Admin/delete", f"{PATH}#", "/invoke%2FGreeter/greet", 7):
        context["path"] = other
        answer, handler = call(event, exempt_paths=exempt)
        assert (answer["statusCode"], handler.calls) == (401, []), other


def routed(source: str, route: object, parameters: object, path: str = PATH) -> Event:
    """An event of a source that knows routes, with this one."""
    event = SOURCES[source](path, HEADERS)
    for name in ("resource", "routeKey"):
        if name in event:
            event[name] = route
    for name in ("resourcePath", "routeKey"):
        if name in event["requestContext"]:
            event["requestContext"][name] = route
    return {**event, "pathParameters": parameters}


OF_ONE_HANDLER = {"service": "Greeter", "handler": "greet"}


@pytest.mark.parametrize(
    ("source", "route", "parameters"),
    [
        ("rest_api", PATH, None),
        ("rest_api", "/invoke/{service}/{handler}", OF_ONE_HANDLER),
        ("rest_api", "/{proxy+}", {"proxy": PATH[1:]}),
        ("rest_api", "/api/v1/{proxy+}", {"proxy": PATH[1:]}),
        ("rest_api", "/invoke/{proxy+}", {"proxy": "Greeter/greet"}),
        ("http_api_v1", "$default", None),
        ("http_api", "$default", None),
        ("http_api", f"POST {PATH}", None),
        ("http_api", "ANY /{proxy+}", {"proxy": PATH[1:]}),
        ("http_api", "POST /invoke/{service}/{handler}", OF_ONE_HANDLER),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/stage", "/base/path"])
def test_an_event_of_any_route_for_the_signed_path_is_accepted(
    source: str, route: str, parameters: object, prefix: str
) -> None:
    answer, handler = call(routed(source, route, parameters, prefix + PATH))
    assert (answer["statusCode"], len(handler.calls)) == (200, 1)


@pytest.mark.parametrize("source", ["rest_api", "http_api", "http_api_v1"])
@pytest.mark.parametrize("exempt", [[], [PATH]])
@pytest.mark.parametrize(
    ("route", "parameters"),
    [
        ("/invoke/Admin/delete", None),
        ("POST /invoke/Admin/delete", {"proxy": PATH[1:]}),
        ("/{proxy+}", {"proxy": "invoke/Admin/delete"}),
        ("/invoke/{service}/{handler}", {**OF_ONE_HANDLER, "service": "Admin"}),
        ("/invoke/{service}/{handler}", {"service": "Greeter"}),
        ("/invoke/{service}/{handler}", "no parameters"),
        ("/invoke/Admin/{handler}", {"handler": PATH[1:]}),
        ("/invoke/Greeter/{greet}", {"greet": "delete/it"}),
        ("/{proxy+}", {"proxy": f"../{PATH[1:]}"}),
        ("/{proxy}", {"proxy": 7}),
        ("delete", None),
        (7, None),
        ([], None),
    ],
)
def test_an_event_whose_route_stands_for_another_path_is_refused(
    source: str, exempt: list[str], route: object, parameters: object
) -> None:
    answer, handler = call(routed(source, route, parameters), exempt_paths=exempt)
    assert (answer["statusCode"], handler.calls) == (401, [])


@pytest.mark.parametrize("exempt", [[], [PATH]])
@pytest.mark.parametrize("path", ["/invoke/Admin/delete", f"/another{PATH}"])
def test_an_event_with_two_routes_is_refused(path: str, exempt: list[str]) -> None:
    event = routed("rest_api", PATH, None)
    assert call(event, exempt_paths=exempt)[0]["statusCode"] == 200

    places: list[tuple[Event, str]] = [
        *((event, name) for name in ("resource", "routeKey")),
        *((event["requestContext"], name) for name in ("resourcePath", "routeKey")),
    ]
    for place, name in places:
        before = dict(place)
        place[name] = path
        answer, handler = call(event, exempt_paths=exempt)
        assert (answer["statusCode"], handler.calls) == (401, []), name
        place.clear()
        place.update(before)


def test_the_root_may_be_exempt_where_it_has_no_parameters() -> None:
    event = routed("http_api", "ANY /{proxy+}", None, "/")
    assert call(event, exempt_paths=["/"])[0]["statusCode"] == 200


def test_below_a_stage_an_exempt_path_must_be_exempt_without_it_too() -> None:
    event = routed("http_api", "GET /alive", None, "/stage/alive")
    assert call(event, exempt_paths=["/stage/alive"])[0]["statusCode"] == 401
    assert call(event, exempt_paths=["/stage/alive", "/alive"])[0]["statusCode"] == 200


def test_an_error_of_the_handler_passes_and_leaves_no_identity_behind() -> None:
    @require_request_identity(identity_keys=KEYS)
    def handler(event: Event, context: object) -> None:  # noqa: ARG001
        raise RuntimeError("handler")

    with pytest.raises(RuntimeError, match="handler"):
        handler(restate(PATH, HEADERS), None)
    assert current_identity() is None


# The decorator


def test_the_decorator_keeps_name_and_documentation() -> None:
    @require_request_identity(identity_keys=KEYS)
    def lambda_handler(event: Event, context: object) -> str:  # noqa: ARG001
        """Greet."""
        return "greeted"

    assert (lambda_handler.__name__, lambda_handler.__doc__) == ("lambda_handler", "Greet.")
    assert lambda_handler(restate(PATH, HEADERS), None) == "greeted"


def test_a_decorator_without_keys_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no identity key is configured"):
        require_request_identity()


def test_keys_in_the_place_of_the_handler_are_told_from_one() -> None:
    decorators: list[Any] = [require_request_identity, require_request_identity(identity_keys=KEYS)]
    for decorate in decorators:
        with pytest.raises(TypeError, match="not a list: pass keys by name, identity_keys="):
            decorate(KEYS)


def test_a_coroutine_function_is_no_handler() -> None:
    async def handler(event: Event, context: object) -> None: ...

    class Awaitable:
        async def __call__(self, event: Event, context: object) -> None: ...

    for unsuitable in (handler, Awaitable()):
        with pytest.raises(TypeError, match="does not await"):
            require_request_identity(unsuitable, identity_keys=KEYS)


# The Restate SDK's own handler


@pytest.fixture
def sdk_handler() -> Iterator[Callable[[Any, Any], Any]]:
    """What ``restate.app`` returns on Lambda, for a service of which only the discovery is asked."""
    service = restate_sdk.Service("Greeter")

    @service.handler()
    async def greet(ctx: restate_sdk.Context, name: str) -> str:  # noqa: ARG001
        return name

    handler = wrap_asgi_as_lambda_handler(restate_sdk.app([service]))
    yield handler
    asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


def test_the_sdks_handler_answers_a_signed_discovery_and_refuses_as_it_would_itself(
    sdk_handler: Callable[[Any, Any], Any],
) -> None:
    guarded = require_request_identity(sdk_handler, identity_keys=KEYS)
    accept = ("accept", "application/vnd.restate.endpointmanifest.v3+json")
    signed = [accept, *SIGNER.headers("/discover").items()]
    answer = guarded({**restate("/prefix/discover", signed), "httpMethod": "GET"}, None)
    assert answer["statusCode"] == 200
    assert b"Greeter" in base64.b64decode(answer["body"])
    refusal = guarded({**restate("/discover", [accept]), "httpMethod": "GET"}, None)
    assert refusal == REFUSALS["restate"]
    assert refusal.keys() == answer.keys()
