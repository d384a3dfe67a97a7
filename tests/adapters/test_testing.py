"""The library's tools for its users' tests: the fixtures, and `SignedRequestAuth`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.testclient import TestClient

from restate_identity import IdentityVerifier, Reason, VerificationError, current_identity
from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.signing import RequestSigner, SignedRequestAuth
from tests.support.servers import in_a_thread

ONE, TWO = "/invoke/Greeter/one", "/invoke/Greeter/two"


@pytest.fixture
def app(restate_identity_keys: list[str]) -> FastAPI:
    """A guarded application that answers with the signed values."""
    site = FastAPI()
    site.add_middleware(RequestIdentityMiddleware, identity_keys=restate_identity_keys)

    @site.get("/{path:path}")
    def seen(path: str) -> list[str | None]:  # noqa: ARG001
        identity = current_identity()
        assert identity is not None
        return [identity.audience, identity.subject]

    return site


class TestSignedRequestAuth:
    def test_a_test_client_signs_each_request_for_its_own_path(self, app: FastAPI, restate_signer: Any) -> None:
        client = TestClient(app)
        assert client.get(ONE).status_code == 401
        client.auth = SignedRequestAuth(restate_signer)
        assert client.get(f"{ONE}?query").json() == [ONE, None]
        assert client.get(f"/mounted{TWO}").json() == [TWO, None]
        assert client.get("/invoke/Gr%65eter/two").json() == [TWO, None]

    async def test_so_does_a_client_of_httpx(self, app: FastAPI, restate_signer: RequestSigner) -> None:
        auth = SignedRequestAuth(restate_signer, subject="alice")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", auth=auth) as client:
            answers = [(await client.get(path)).json() for path in (ONE, TWO, "/discover")]
        assert answers == [[ONE, "alice"], [TWO, "alice"], ["/discover", "alice"]]

    def test_a_single_request_can_be_signed_too(self, app: FastAPI, restate_signer: RequestSigner) -> None:
        client = TestClient(app)
        assert client.get(ONE, auth=SignedRequestAuth(restate_signer)).status_code == 200
        assert client.get(ONE).status_code == 401

    def test_headers_that_were_there_are_replaced(self, app: FastAPI, restate_signer: RequestSigner) -> None:
        stale = {"X-Restate-Signature-Scheme": "unsigned", "X-Restate-Jwt-V1": "stale"}
        assert TestClient(app).get(ONE, headers=stale, auth=SignedRequestAuth(restate_signer)).status_code == 200

    def test_time_can_be_travelled(self, app: FastAPI, restate_signer: RequestSigner) -> None:
        for offset, status in ((-120, 401), (-30, 200), (120, 401)):
            auth = SignedRequestAuth(restate_signer, now=lambda: time.time() + offset)  # noqa: B023 (called at once)
            assert TestClient(app).get(ONE, auth=auth).status_code == status
        wide = SignedRequestAuth(restate_signer, now=lambda: time.time() - 120, leeway=600)
        assert TestClient(app).get(ONE, auth=wide).status_code == 200


class Headers(BaseHTTPRequestHandler):
    """Answers with the headers of the request; redirects ``/to/<URL>`` to the URL."""

    seen: ClassVar[list[tuple[str, set[str]]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower() for name in self.headers}))
        self.send_response(307 if self.path.startswith("/to/") else 200)
        self.send_header("location", self.path.removeprefix("/to/"))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def server() -> Iterator[tuple[str, list[tuple[str, set[str]]]]]:
    """Run a server; give its URL, and the paths and the names of headers that it has seen."""
    seen: list[tuple[str, set[str]]] = []
    with in_a_thread(ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Headers,), {"seen": seen}))) as url:
        yield url, seen


def get(client: Any, url: str) -> int:
    with client:
        status: int = client.get(url).status_code
        return status


def get_async(client: Any, url: str) -> int:
    async def requested() -> int:
        async with client:
            status: int = (await client.get(url)).status_code
            return status

    return asyncio.run(requested())


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(("kind", "request_with"), [("Client", get), ("AsyncClient", get_async)])
class TestARedirect:
    """Followed by the clients that there are, from one real server to another."""

    def client(self, library: Any, kind: str, signer: RequestSigner) -> Any:
        auth = SignedRequestAuth(signer)
        return getattr(library, kind)(auth=auth, follow_redirects=True, trust_env=False, headers={"x-mine": "1"})

    @pytest.mark.parametrize("elsewhere", [True, False])
    def test_it_does_not_take_the_token_along(
        self, restate_signer: RequestSigner, library: Any, kind: str, request_with: Any, *, elsewhere: bool
    ) -> None:
        with server() as (first, seen), server() as (second, seen_by_second):
            target = second if elsewhere else first
            assert request_with(self.client(library, kind, restate_signer), f"{first}/to/{target}/discover") == 200
            asked = [*seen, *seen_by_second]
        (_, at_first), (path, afterwards) = asked
        assert path == "/discover"
        assert {"x-restate-jwt-v1", "x-restate-signature-scheme", "x-mine"} <= at_first
        assert not {name for name in afterwards if name.startswith("x-restate-")}
        assert "x-mine" in afterwards


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_redirect_that_is_left_to_the_caller_has_no_token(restate_signer: RequestSigner, library: Any) -> None:
    with server() as (first, seen), server() as (second, seen_by_second):
        with library.Client(auth=SignedRequestAuth(restate_signer), trust_env=False) as client:
            left = client.get(f"{first}/to/{second}/discover").next_request
            assert client.send(left, auth=None).status_code == 200
        asked = [*seen, *seen_by_second]
    assert ["x-restate-jwt-v1" in names for _, names in asked] == [True, False]


def test_a_redirect_that_a_test_client_follows_does_not_take_the_token_along(restate_signer: RequestSigner) -> None:
    site, seen = FastAPI(), []

    @site.get("/{path:path}")
    def answer(path: str, request: Request) -> Response:
        seen.append((request.headers["host"], "x-restate-jwt-v1" in request.headers))
        return RedirectResponse("http://elsewhere.example/discover") if path == "here" else Response()

    client = TestClient(site)
    client.auth = SignedRequestAuth(restate_signer)
    assert client.get("/here").status_code == 200
    assert seen == [("testserver", True), ("elsewhere.example", False)]


def test_the_headers_of_a_signed_request_are_there_to_be_read_and_changed(restate_signer: RequestSigner) -> None:
    request = httpx.Request("GET", "http://service/one", headers={"x-mine": "1"})
    auth = SignedRequestAuth(restate_signer)
    for _ in range(2):  # also of one that is sent again
        headers = auth(request).headers
        assert headers["x-restate-signature-scheme"] == "v1"
        assert [name for name, _ in headers.multi_items()].count("x-restate-jwt-v1") == 1
    headers["x-more"] = "2"
    del headers["x-mine"]
    copies = dict(headers), dict(headers.copy())
    assert copies == ({"host": "service", "x-more": "2"},) * 2
    assert len(headers) == 2


def test_any_jws_can_be_signed_to_test_a_verifier_with(
    restate_signer: RequestSigner, restate_identity_keys: list[str]
) -> None:
    path, now = "/invoke/Greeter/greet", int(time.time())
    verifier = IdentityVerifier(restate_identity_keys)
    header = {"typ": "JWT", "alg": "EdDSA", "kid": restate_identity_keys[0]}
    claims = {"aud": path, "exp": now + 60, "iat": now, "nbf": now - 60}
    assert restate_signer.sign_jws(header, claims) == restate_signer.token(path, now=now)
    with pytest.raises(VerificationError) as refusal:
        verifier.verify_signature(path, "v1", restate_signer.sign_jws(header, {**claims, "aud": [path]}))
    assert refusal.value.reason is Reason.MALFORMED_CLAIMS


def test_the_fixtures_belong_together(
    restate_signer: RequestSigner,
    restate_identity_keys: list[str],
    signed_headers: Callable[..., dict[str, str]],
) -> None:
    verifier = IdentityVerifier(restate_identity_keys)
    assert verifier.keys == (restate_signer.public_key,)
    path = "/invoke/Counter/add"
    assert verifier.verify(path, signed_headers(path, subject="alice")).subject == "alice"
    with pytest.raises(VerificationError):
        verifier.verify(path, signed_headers(path, now=time.time() - 120))
