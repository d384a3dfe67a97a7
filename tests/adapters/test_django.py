"""The Django middleware through Django's own request handling."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Iterator
from functools import partial
from typing import Any
from wsgiref.util import setup_testing_defaults

import django
import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import re_path
from prometheus_client import CollectorRegistry

from restate_identity import Identity, IdentityVerifier, current_identity
from restate_identity.signing import RequestSigner
from restate_identity.telemetry import PrometheusObserver

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]
MIDDLEWARE = "restate_identity.django.RequestIdentityMiddleware"

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=[MIDDLEWARE],
        RESTATE_IDENTITY_KEYS=KEYS,
        RESTATE_IDENTITY_EXEMPT_PATHS=["/open"],
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()

from restate_identity.django import RequestIdentityMiddleware  # noqa: E402 (Django must be configured first)

SEEN: list[tuple[Identity | None, Identity | None]] = []


def note(request: HttpRequest) -> None:
    SEEN.append((request.restate_identity, current_identity()))  # type: ignore[attr-defined]


def plain(request: HttpRequest) -> HttpResponse:
    note(request)
    return HttpResponse(b"served")


async def plain_async(request: HttpRequest) -> HttpResponse:
    note(request)
    await asyncio.sleep(0)
    await sync_to_async(note)(request)
    return HttpResponse(b"served")


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    def generate() -> Iterator[bytes]:
        for block in (b"ser", b"ved"):
            note(request)
            yield block

    return StreamingHttpResponse(generate())


async def streaming_async(request: HttpRequest) -> StreamingHttpResponse:
    async def generate() -> AsyncIterator[bytes]:
        for block in (b"ser", b"ved"):
            note(request)
            yield block

    return StreamingHttpResponse(generate())


def file(request: HttpRequest) -> FileResponse:
    note(request)
    return FileResponse(io.BytesIO(b"served"))


def failing(request: HttpRequest) -> HttpResponse:
    note(request)
    raise RuntimeError("the view")


urlpatterns = [
    re_path("^streaming/async", streaming_async),
    re_path("^streaming", streaming),
    re_path("^async", plain_async),
    re_path("^file", file),
    re_path("^failing", failing),
    re_path("", plain),
]


@pytest.fixture(autouse=True)
def seen() -> list[tuple[Identity | None, Identity | None]]:
    SEEN.clear()
    return SEEN


def consumed(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


async def consumed_async(response: Any) -> bytes:
    if not response.streaming:
        content: bytes = response.content
        return content
    blocks = []
    async for block in response:
        blocks.append(block)
        assert current_identity() is None
    return b"".join(blocks)


def send(kind: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Send a request through the WSGI or the ASGI handler of Django."""
    if kind == "wsgi":
        response: Any = Client().post(path, headers=headers)
        answer = response.status_code, dict(response.headers), consumed(response)
        response.close()
        return answer

    async def post() -> tuple[int, dict[str, str], bytes]:
        response: Any = await AsyncClient().post(path, headers=headers)
        answer = response.status_code, dict(response.headers), await consumed_async(response)
        response.close()
        return answer

    return asyncio.run(post())


@pytest.mark.parametrize(
    ("kind", "view"),
    [
        ("wsgi", ""),
        ("wsgi", "/async"),
        ("wsgi", "/streaming"),
        ("asgi", ""),
        ("asgi", "/async"),
        ("asgi", "/streaming"),
        ("asgi", "/streaming/async"),
    ],
)
# Django warns that a stream of the other kind is read to its end first.
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_signed_request_reaches_the_view_with_its_identity(kind: str, view: str) -> None:
    path = f"{view}{PATH}"
    status, _, body = send(kind, path, SIGNER.headers(path))
    assert (status, body) == (200, b"served")
    assert SEEN
    for given, current in SEEN:
        assert given is not None
        assert given.audience == PATH
        assert current is given
    assert current_identity() is None


@pytest.mark.parametrize("view", ["", "/async", "/streaming"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_unsigned_request_gets_a_401_and_no_view_runs(kind: str, view: str) -> None:
    status, headers, body = send(kind, f"{view}{PATH}", {})
    assert (status, body, SEEN) == (401, b'{"error":"unauthorized"}', [])
    assert {name.lower(): value for name, value in headers.items()} == {
        "content-type": "application/json",
        "content-length": "24",
        "www-authenticate": "RestateRequestIdentity",
    }


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_django_does_not_log_a_refusal_once_more(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    send(kind, "/invoke/Greeter/logged", {})
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["restate_identity"]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_exempt_request_reaches_the_view_without_an_identity(kind: str) -> None:
    assert send(kind, "/open", SIGNER.headers(PATH))[0] == 200
    assert SEEN == [(None, None)]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_file_is_served(kind: str) -> None:
    path = f"/file{PATH}"
    assert send(kind, path, SIGNER.headers(path))[::2] == (200, b"served")


def test_a_file_stays_one_that_the_server_can_send_itself() -> None:
    middleware = RequestIdentityMiddleware(lambda _: FileResponse(io.BytesIO(b"content")))
    response = middleware(RequestFactory().post(PATH, headers=SIGNER.headers(PATH)))
    assert isinstance(response, FileResponse)
    assert response.file_to_stream is not None
    response.close()


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_error_of_the_view_passes_and_leaves_no_identity_behind(kind: str) -> None:
    path = f"/failing{PATH}"
    with pytest.raises(RuntimeError, match="the view"):
        send(kind, path, SIGNER.headers(path))
    assert len(SEEN) == 1
    assert current_identity() is None


def wsgi_request(path_info: str, script_name: str = "", signed: str = PATH) -> HttpRequest:
    headers = SIGNER.headers(signed)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "HTTP_X_RESTATE_SIGNATURE_SCHEME": headers["x-restate-signature-scheme"],
        "HTTP_X_RESTATE_JWT_V1": headers["x-restate-jwt-v1"],
    }
    setup_testing_defaults(environ)
    return WSGIRequest(environ)


@pytest.mark.parametrize(
    ("script_name", "path_info", "status"),
    [
        ("", PATH, 200),
        ("/prefix", PATH, 200),
        ("/prefix/", PATH, 200),
        ("/prefix/invoke/Greeter", "/greet", 401),
        ("", f"/{PATH}", 401),
        ("", f"/x/..{PATH}", 401),
        ("", f"{PATH}/", 401),
        ("", "/invoke/Greeter/gr%65et", 401),
        ("", f"{PATH}\xff", 401),
        ("", "", 401),
    ],
)
def test_the_path_is_the_one_that_django_routes_on(script_name: str, path_info: str, status: int) -> None:
    middleware = RequestIdentityMiddleware(lambda _: HttpResponse())
    response = middleware(wsgi_request(path_info, script_name))
    assert isinstance(response, HttpResponse)
    assert response.status_code == status


def test_the_mount_point_does_not_complete_the_signed_path() -> None:
    middleware = RequestIdentityMiddleware(lambda _: HttpResponse())
    for script_name, path_info, status in (("", "/invoke/zoo/open", 200), ("/invoke", "/zoo/open", 401)):
        response = middleware(wsgi_request(path_info, script_name, signed="/invoke/zoo/open"))
        assert isinstance(response, HttpResponse)
        assert response.status_code == status


def test_the_middleware_is_a_coroutine_function_exactly_if_what_it_calls_is_one() -> None:
    async def get_response(request: HttpRequest) -> HttpResponseBase: ...  # type: ignore[empty-body]

    assert iscoroutinefunction(RequestIdentityMiddleware(get_response))
    assert not iscoroutinefunction(RequestIdentityMiddleware(lambda _: HttpResponse()))
    # What is not capable of both, Django runs in another thread.
    assert RequestIdentityMiddleware.sync_capable
    assert RequestIdentityMiddleware.async_capable


@pytest.mark.parametrize(
    ("raw_path", "status"), [(None, 200), (f"/prefix{PATH}".encode(), 200), (b"/prefix/invoke/Greeter/other", 401)]
)
def test_under_asgi_the_root_path_is_part_of_the_path(raw_path: bytes | None, status: int) -> None:
    async def get_response(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse(request.path_info)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/prefix{PATH}",
        "root_path": "/prefix",
        "raw_path": raw_path,
        "headers": [(name.encode(), value.encode()) for name, value in SIGNER.headers(PATH).items()],
    }

    async def serve() -> HttpResponseBase:
        response = RequestIdentityMiddleware(get_response)(ASGIRequest(scope, io.BytesIO()))
        assert isinstance(response, Awaitable)
        return await response

    response = asyncio.run(serve())
    assert isinstance(response, HttpResponse)
    assert (response.status_code, PATH.encode() in response.content) == (status, status == 200)


# Misconfiguration

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"RESTATE_IDENTITY_KEYS": []}, "never switched off"),
    ({"RESTATE_IDENTITY_KEYS": None}, "no identity key"),
    ({"RESTATE_IDENTITY_KEYS": None, "RESTATE_IDENTITY_VERIFIER": "a key"}, "verifier is an IdentityVerifier"),
    ({"RESTATE_IDENTITY_OBSERVER": "an observer"}, "methods accepted and refused"),
    ({"RESTATE_IDENTITY_KEYS": ["publickeyv1_"]}, "identity key 1"),
    ({"RESTATE_IDENTITY_KEYS": KEYS[0]}, "put the single key into one"),
    ({"RESTATE_IDENTITY_EXEMPT_PATHS": "/health"}, "put the single path into one"),
    ({"RESTATE_IDENTITY_EXEMPT_PATHS": ["health"]}, "does not begin with '/'"),
    ({"RESTATE_IDENTITY_EXEMPT_PATHS": ["/health/"]}, "ends with '/'"),
    ({"RESTATE_IDENTITY_EXEMPT_PATHS": None}, "a list of paths, or a function"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_the_middleware_cannot_be_made_with_a_wrong_setting_and_the_error_names_it(
    wrong: dict[str, Any], message: str
) -> None:
    *_, at_fault = wrong
    with override_settings(**wrong), pytest.raises(ImproperlyConfigured, match=message) as refused:
        RequestIdentityMiddleware(lambda _: HttpResponse())
    assert str(refused.value).startswith(f"{at_fault} in the settings cannot be used: ")


def test_of_two_settings_that_exclude_each_other_the_error_names_both() -> None:
    wrong = override_settings(RESTATE_IDENTITY_VERIFIER=IdentityVerifier(KEYS))
    with (
        wrong,
        pytest.raises(ImproperlyConfigured, match=r"^RESTATE_IDENTITY_KEYS and RESTATE_IDENTITY_VERIFIER .*not b"),
    ):
        RequestIdentityMiddleware(lambda _: HttpResponse())


def test_the_middleware_cannot_be_made_without_settings() -> None:
    with override_settings():
        del settings.RESTATE_IDENTITY_KEYS
        with pytest.raises(ImproperlyConfigured, match=r"no identity key.*RESTATE_IDENTITY_KEYS_FILE"):
            RequestIdentityMiddleware(lambda _: HttpResponse())


def test_without_a_setting_the_environment_has_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    other = RequestSigner.generate()
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", str(other.public_key))
    with override_settings():
        del settings.RESTATE_IDENTITY_KEYS
        assert send("wsgi", PATH, other.headers(PATH))[0] == 200
        assert send("wsgi", PATH, SIGNER.headers(PATH))[0] == 401
    with override_settings(RESTATE_IDENTITY_KEYS=[]), pytest.raises(ImproperlyConfigured, match="empty list"):
        RequestIdentityMiddleware(lambda _: HttpResponse())


def test_a_verifier_can_be_set_instead_of_keys() -> None:
    other = RequestSigner.generate()
    with override_settings(RESTATE_IDENTITY_KEYS=None, RESTATE_IDENTITY_VERIFIER=IdentityVerifier([other.public_key])):
        assert send("wsgi", PATH, other.headers(PATH))[0] == 200
        assert send("wsgi", PATH, SIGNER.headers(PATH))[0] == 401


def test_an_observer_can_be_set() -> None:
    registry = CollectorRegistry()
    with override_settings(RESTATE_IDENTITY_OBSERVER=PrometheusObserver(registry)):
        send("wsgi", PATH, SIGNER.headers(PATH))
        send("wsgi", PATH, {})
    counted = partial(registry.get_sample_value, "restate_identity_requests_total")
    assert counted({"outcome": "accepted", "reason": ""}) == 1
    assert counted({"outcome": "refused", "reason": "missing_scheme"}) == 1


def test_exempt_paths_are_optional_and_may_be_a_function() -> None:
    with override_settings():
        del settings.RESTATE_IDENTITY_EXEMPT_PATHS
        assert send("wsgi", "/open", {})[0] == 401
    with override_settings(RESTATE_IDENTITY_EXEMPT_PATHS=lambda path: path.startswith("/pub")):
        assert send("wsgi", "/public", {})[0] == 200
