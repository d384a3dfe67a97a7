"""The FastAPI dependency through FastAPI's own request handling."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    WebSocket,
)
from fastapi.exceptions import FastAPIError
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from restate_identity import Identity, current_identity
from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.fastapi import RefusedRequest, RequestIdentity
from restate_identity.signing import RequestSigner
from tests.support import ROOT

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]
REFUSAL = b'{"error":"unauthorized"}'

signed = RequestIdentity(identity_keys=KEYS, exempt_paths=["/open"])
Signed = Annotated[Identity | None, Depends(signed)]

Seen = list[tuple[Identity | None, Identity | None]]


@pytest.fixture
def seen() -> Seen:
    """The identity as the dependency gave it and the current one, whenever code of an endpoint ran."""
    return []


@pytest.fixture
def app(seen: Seen) -> FastAPI:
    application = FastAPI()

    def note(identity: Identity | None) -> None:
        seen.append((identity, current_identity()))

    @application.post("/invoke/{service}/{handler}")
    @application.get("/open")
    def in_a_thread(identity: Signed) -> str:
        note(identity)
        return f"served by {'another' if threading.current_thread() is not threading.main_thread() else 'the main'}"

    @application.post("/async/invoke/{service}/{handler}")
    async def in_the_loop(identity: Signed, tasks: BackgroundTasks) -> str:
        await asyncio.sleep(0)
        note(identity)
        tasks.add_task(note, identity)
        return "served"

    @application.post("/stream/invoke/{service}/{handler}")
    def streaming(identity: Signed) -> StreamingResponse:
        def blocks() -> Iterator[bytes]:
            note(identity)
            yield b"ser"
            note(identity)
            yield b"ved"

        return StreamingResponse(blocks())

    @application.post("/async-stream/invoke/{service}/{handler}")
    async def streaming_async(identity: Signed) -> StreamingResponse:
        async def blocks() -> AsyncIterator[bytes]:
            note(identity)
            yield b"ser"
            note(identity)
            yield b"ved"

        return StreamingResponse(blocks())

    @application.post("/failing/invoke/{service}/{handler}")
    async def failing(identity: Signed, kind: str) -> None:
        note(identity)
        raise (HTTPException(418, "the endpoint") if kind == "http" else RuntimeError("the endpoint"))

    @application.post("/body/invoke/{service}/{handler}")
    def with_a_body(identity: Signed, name: Annotated[str, Body(embed=True)]) -> str:  # noqa: ARG001
        note(identity)
        return "served"

    @application.get("/beside")
    def beside() -> dict[str, bool]:
        return {"identity": current_identity() is not None}

    @application.websocket("/ws/invoke/{service}/{handler}")
    async def websocket(connection: WebSocket, identity: Signed) -> None:
        note(identity)
        await connection.accept()
        await connection.close()

    return application


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as test_client:
        yield test_client


@pytest.mark.parametrize("endpoint", ["", "/async", "/stream", "/async-stream"])
def test_a_signed_request_reaches_the_endpoint_with_its_identity(client: TestClient, seen: Seen, endpoint: str) -> None:
    path = f"{endpoint}{PATH}"
    response = client.post(path, headers=SIGNER.headers(path))
    assert response.status_code == 200
    assert "served" in response.text
    assert len(seen) == (1 if endpoint == "" else 2)
    for given, current in seen:
        assert given is not None
        assert given.audience == PATH
        assert current is given
    assert client.get("/beside").json() == {"identity": False}
    assert current_identity() is None


@pytest.mark.parametrize("endpoint", ["", "/async"])
def test_an_unsigned_request_gets_the_401_of_all_adapters(client: TestClient, seen: Seen, endpoint: str) -> None:
    response = client.post(f"{endpoint}{PATH}")
    assert (response.status_code, response.content, seen) == (401, REFUSAL, [])
    assert response.headers == {
        "content-type": "application/json",
        "content-length": "24",
        "www-authenticate": "RestateRequestIdentity",
    }


def test_a_refusal_comes_before_the_validation_of_the_body_but_not_before_its_parsing(client: TestClient) -> None:
    path = f"/body{PATH}"
    assert client.post(path, json={}).status_code == 401
    assert client.post(path, json={}, headers=SIGNER.headers(path)).status_code == 422
    broken = client.post(path, content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 422
    assert client.post(f"/async{PATH}", content=b"\x00\xff").status_code == 401


@pytest.mark.parametrize("headers", [{}, SIGNER.headers("/open", leeway=3600)])
def test_an_exempt_request_reaches_the_endpoint_without_an_identity(
    client: TestClient, seen: Seen, headers: dict[str, str]
) -> None:
    assert client.get("/open", headers=headers).status_code == 200
    assert seen == [(None, None)]


def test_an_error_of_the_endpoint_passes(client: TestClient, seen: Seen) -> None:
    path = f"/failing{PATH}"
    response = client.post(f"{path}?kind=http", headers=SIGNER.headers(path))
    assert (response.status_code, response.json()) == (418, {"detail": "the endpoint"})
    with pytest.raises(RuntimeError, match="the endpoint"):
        client.post(f"{path}?kind=other", headers=SIGNER.headers(path))
    assert len(seen) == 2
    assert current_identity() is None


def test_openapi_describes_it_as_an_api_key(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"] == {
        "RestateRequestIdentity": {
            "type": "apiKey",
            "in": "header",
            "name": "x-restate-jwt-v1",
            "description": "The request identity that a Restate server signs.",
        }
    }
    assert schema["paths"]["/open"]["get"]["security"] == [{"RestateRequestIdentity": []}]
    assert "security" not in schema["paths"]["/beside"]["get"]


def test_a_request_that_was_sent_for_another_path_is_refused(app: FastAPI) -> None:
    async def rewritten(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "raw_path": b"/invoke/Greeter/other"}, receive, send)

    assert TestClient(app).post(PATH, headers=SIGNER.headers(PATH)).status_code == 200
    assert TestClient(rewritten).post(PATH, headers=SIGNER.headers(PATH)).status_code == 401


def test_a_router_or_an_application_can_depend_on_it(seen: Seen) -> None:
    router = APIRouter(prefix="/prefix", dependencies=[Depends(signed)])

    @router.post(PATH)
    def endpoint() -> str:
        seen.append((None, current_identity()))
        return "served"

    application = FastAPI()
    application.include_router(router)
    outer = FastAPI()
    outer.mount("/mounted", application)
    whole = FastAPI(dependencies=[Depends(signed)])
    whole.post(PATH)(endpoint)
    for asgi, path in [(application, f"/prefix{PATH}"), (outer, f"/mounted/prefix{PATH}"), (whole, PATH)]:
        client = TestClient(asgi)
        assert client.post(path, headers=SIGNER.headers(path)).status_code == 200
        assert client.post(path).content == REFUSAL
    assert [current and current.audience for _, current in seen] == [PATH] * 3


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/invoke/greeter/greet", "/greeter", 200),
        ("/invoke/greeter/greet", "/inv", 200),
        ("/invoke/greeter/greet", "/v1", 200),
        ("/mounted/invoke/greeter/greet", "/mounted", 200),
        ("/invoke/greeter/greet", "/invoke", 401),
        ("/invoke/greeter/greet", "/invoke/greeter/greet", 401),
    ],
)
def test_below_a_root_path_what_starlette_routes_on_must_be_signed(path: str, root_path: str, status: int) -> None:
    application = FastAPI(dependencies=[Depends(signed)])
    for route in ("/invoke/greeter/greet", "/greeter/greet", ""):
        application.post(route)(lambda: "served")
    client = TestClient(application, root_path=root_path)
    assert client.post(path, headers=SIGNER.headers("/invoke/greeter/greet")).status_code == status


def test_an_exception_handler_of_ones_own_may_answer(app: FastAPI) -> None:
    @app.exception_handler(RefusedRequest)
    async def answer(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return JSONResponse({"mine": True}, 401)

    assert TestClient(app).post(PATH).json() == {"mine": True}


# WebSockets


def test_a_signed_handshake_is_accepted(client: TestClient, seen: Seen) -> None:
    path = f"/ws{PATH}"
    with client.websocket_connect(path, headers=SIGNER.headers(path)):
        pass
    [(given, current)] = seen
    assert given is not None
    assert current is given


def test_an_unsigned_handshake_is_answered_with_a_401(client: TestClient, seen: Seen) -> None:
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(f"/ws{PATH}"):
        pass
    assert (caught.value.status_code, caught.value.content, seen) == (401, REFUSAL, [])


def test_an_unsigned_handshake_is_closed_where_it_cannot_be_answered(app: FastAPI, seen: Seen) -> None:
    async def without_extensions(scope: Any, receive: Any, send: Any) -> None:
        scope.pop("extensions", None)
        await app(scope, receive, send)

    client = TestClient(without_extensions)
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(f"/ws{PATH}"):
        pass
    assert (caught.value.code, seen) == (1008, [])


# What becomes of the body of a refused request


Messages = list[dict[str, Any]]
JSON = (b"content-type", b"application/json")
REFUSED_AT_ONCE = [
    ("http.response.start", b"", False),
    ("http.response.body", REFUSAL, True),
    ("http.response.body", b"", False),
]


def refused_over_http2(app: FastAPI, path: str, body: Messages, *headers: tuple[bytes, bytes]) -> tuple[Messages, int]:
    """Return what is sent, and how many messages were sent when the last part of the *body* was asked for.

    A server has nothing to give after the last one, until the response is complete: asking once more fails here.
    """
    left = list(body)
    sent: Messages = []
    sent_before_the_last = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent_before_the_last
        sent_before_the_last = len(sent)
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
    }
    asyncio.run(app(scope, receive, send))
    assert left == []
    return sent, sent_before_the_last


def parts(*pieces: bytes) -> Messages:
    more = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    return [*more, {"type": "http.request", "body": b"", "more_body": False}]


def in_short(sent: Messages) -> list[tuple[str, bytes, bool]]:
    assert sent[0]["status"] == 401
    return [(message["type"], message.get("body", b""), message.get("more_body", False)) for message in sent]


@pytest.mark.parametrize("endpoint", ["", "/async"])
def test_a_body_that_no_endpoint_takes_is_read_after_the_401(app: FastAPI, seen: Seen, endpoint: str) -> None:
    sent, before = refused_over_http2(app, f"{endpoint}{PATH}", parts(b"x" * 65536, b"y"))
    assert (in_short(sent), before, seen) == (REFUSED_AT_ONCE, 2, [])


def test_a_body_that_fastapi_has_read_is_not_asked_for_again(app: FastAPI) -> None:
    sent, before = refused_over_http2(app, f"/body{PATH}", parts(b'{"name":"x"}'), JSON)
    assert (in_short(sent), before) == (REFUSED_AT_ONCE, 0)


def test_a_body_that_a_dependency_has_read_before_is_not_asked_for_again(app: FastAPI) -> None:
    async def count(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @app.post("/counted/invoke/{service}/{handler}", dependencies=[Depends(count), Depends(signed)])
    def endpoint() -> None:
        raise AssertionError

    sent, before = refused_over_http2(app, f"/counted{PATH}", parts(b"x"))
    assert (in_short(sent), before) == (REFUSED_AT_ONCE, 0)


def test_a_body_that_a_route_class_has_read_through_a_request_of_its_own_is_not_asked_for_again(app: FastAPI) -> None:
    class Reading(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def read_and_handle(request: Request) -> Response:
                own = Request(request.scope, request.receive)
                await own.body()
                return await handler(own)

            return read_and_handle

    router = APIRouter(route_class=Reading)

    @router.post("/read/invoke/{service}/{handler}", dependencies=[Depends(signed)])
    def endpoint() -> None:
        raise AssertionError

    app.include_router(router)
    sent, before = refused_over_http2(app, f"/read{PATH}", parts(b"x"))
    assert (in_short(sent), before) == (REFUSED_AT_ONCE, 0)


def test_a_refused_caller_who_leaves_within_the_body_is_sent_nothing_more(app: FastAPI) -> None:
    sent, _ = refused_over_http2(app, PATH, [*parts(b"x")[:1], {"type": "http.disconnect"}])
    assert in_short(sent) == REFUSED_AT_ONCE[:2]


def test_middleware_of_the_application_passes_the_401_on_before_the_body_ends(app: FastAPI) -> None:
    @app.middleware("http")
    async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)

    sent, before = refused_over_http2(app, PATH, parts(b"x" * 65536, b"y"))
    assert b"".join(body for _, body, _ in in_short(sent)) == REFUSAL
    assert before >= 1


# Paths that it does not guard


def test_of_a_whole_application_it_guards_the_routes_of_fastapi_alone_and_the_middleware_guards_everything() -> None:
    def plain(request: Request) -> Response:  # noqa: ARG001
        return Response()

    def whole(**options: Any) -> FastAPI:
        application = FastAPI(**options)
        application.post(PATH)(lambda: "served")
        application.add_route("/plain", plain)
        application.mount("/mounted", PlainTextResponse("served"))
        return application

    def statuses(application: Any) -> dict[str, int]:
        client = TestClient(application)
        paths = ["/docs", "/redoc", "/openapi.json", "/plain", "/mounted/x"]
        return {PATH: client.post(PATH).status_code, **{path: client.get(path).status_code for path in paths}}

    dependency = statuses(whole(dependencies=[Depends(signed)]))
    middleware = statuses(RequestIdentityMiddleware(whole(), identity_keys=KEYS))

    assert dependency.pop(PATH) == 401
    assert set(dependency.values()) == {200}
    assert set(middleware.values()) == {401}


def test_where_the_exception_handlers_are_not_found_the_refusal_is_still_a_401() -> None:
    connection = HTTPConnection({"type": "http", "path": PATH, "headers": []})
    with pytest.raises(HTTPException) as caught:
        asyncio.run(anext(signed(connection)))  # type: ignore[arg-type]
    assert (caught.value.status_code, caught.value.detail) == (401, "unauthorized")
    assert caught.value.headers == {"www-authenticate": "RestateRequestIdentity"}


def test_without_its_parentheses_the_dependency_is_a_mistake_that_fastapi_names_as_the_readme_says() -> None:
    said = " ".join((ROOT / "integrations" / "fastapi" / "README.md").read_text("utf-8").split())
    (message,) = re.findall("does not start, and FastAPI says `(.*?)`", said)
    with pytest.raises(FastAPIError, match=message):
        FastAPI().get("/", dependencies=[Depends(RequestIdentity)])(lambda: None)
