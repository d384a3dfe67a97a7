"""The ASGI middleware under real servers and over real sockets: uvicorn, hypercorn and granian, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse

import httpx
import pytest
from websockets.sync.client import connect

from restate_identity import Reason
from restate_identity.signing import RequestSigner
from tests.support.eventually import eventually
from tests.support.servers import Server, python, serve
from tests.support.wire import Http1Exchange, Http2Exchange

APP = "tests.support.asgi_app:app"
COMMANDS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", APP, "--port={port}", "--http=h11", "--ws=websockets-sansio"],
    "uvicorn-wsproto": ["uvicorn", APP, "--port={port}", "--http=h11", "--ws=wsproto"],
    "hypercorn": ["hypercorn", APP, "--bind=127.0.0.1:{port}"],
    "granian": ["granian", APP, "--interface=asgi", "--host=127.0.0.1", "--port={port}"],
}
ENDPOINTS = ["uvicorn h1", "hypercorn h1", "hypercorn h2", "granian h1", "granian h2"]
TIMEOUT = 20.0

REFUSAL_BODY = b'{"error":"unauthorized"}'
SIGNER = RequestSigner.generate()
STRANGER = RequestSigner.generate()
SCHEME_FIELD = ("x-restate-signature-scheme", "v1")

Fields = list[tuple[str, str]]
_numbers = itertools.count()


def fresh_path(route: str) -> str:
    """Return a path that no other test uses, so that what happened to it can be told from the rest."""
    return f"/invoke/Test{next(_numbers)}/{route}"


def signed(path: str) -> Fields:
    return list(SIGNER.headers(path).items())


def token_field(token: str) -> tuple[str, str]:
    return ("x-restate-jwt-v1", token)


@dataclass(frozen=True)
class Endpoint:
    """A server and the protocol to speak with it."""

    server: Server
    client: httpx.Client
    exchange_type: type[Http1Exchange] | type[Http2Exchange]

    def exchange(
        self, method: str, target: str | bytes, fields: Sequence[tuple[str, str | bytes]] = (), *, body: bool = False
    ) -> Http1Exchange | Http2Exchange:
        return self.exchange_type(self.server.port, method, target, fields, body)

    def events(self, path: str) -> list[str]:
        """Return the app's notes about *path*."""
        noted: list[str] = self.client.get("/events").json()
        return [event for event in noted if event.endswith(f" {path}")]


def line_in_the_log(server: Server, path: str) -> str:
    """Wait for a line in the log that names *path*."""

    def look() -> str:
        *lines, _incomplete = server.printed.split("\n")
        return next((line for line in lines if f"'{path}'" in line), "")

    return eventually(look)


@pytest.fixture(scope="module")
def server_named() -> Iterator[Callable[[str], Server]]:
    """Start each server when it is first asked for, and end all of them after the last test."""
    servers: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(name: str) -> Server:
            if name not in servers:
                environment = {"IDENTITY_KEYS": str(SIGNER.public_key)}
                servers[name] = stack.enter_context(serve(*python(*COMMANDS[name]), env=environment))
            return servers[name]

        yield start


@pytest.fixture
def watched(server_named: Callable[[str], Server]) -> Iterator[Callable[[str], Server]]:
    """As `server_named`; after the test, no server may have printed an error or a token."""
    seen: dict[str, tuple[Server, int]] = {}

    def watch(name: str) -> Server:
        server = server_named(name)
        seen[name] = server, server.log.stat().st_size
        return server

    yield watch
    for server, size in seen.values():
        printed = server.log.read_bytes()[size:].decode(errors="replace")
        assert "Traceback" not in printed
        assert "eyJ" not in printed, "a token begins with these letters"


@pytest.fixture(scope="module")
def clients() -> Iterator[Callable[[int, bool], httpx.Client]]:
    """Return the client of a port and protocol; making one anew for every test would take most of the time."""
    made: dict[tuple[int, bool], httpx.Client] = {}
    with ExitStack() as stack:

        def client(port: int, http2: bool) -> httpx.Client:
            if (port, http2) not in made:
                made[port, http2] = stack.enter_context(
                    httpx.Client(
                        base_url=f"http://127.0.0.1:{port}",
                        http1=not http2,
                        http2=http2,
                        timeout=TIMEOUT,
                        trust_env=False,
                    )
                )
            return made[port, http2]

        yield client


@pytest.fixture(params=ENDPOINTS)
def endpoint(
    request: pytest.FixtureRequest,
    watched: Callable[[str], Server],
    clients: Callable[[int, bool], httpx.Client],
) -> Endpoint:
    name, protocol = request.param.split()
    server = watched(name)
    http2 = protocol == "h2"
    return Endpoint(server, clients(server.port, http2), Http2Exchange if http2 else Http1Exchange)


# --- who gets in


def test_a_signed_request_is_served_and_the_app_sees_its_identity(endpoint: Endpoint) -> None:
    path = fresh_path("identity")

    response = endpoint.client.get(path, headers=signed(path))

    assert response.status_code == 200
    seen = response.json()
    assert (seen["scope"]["key"], seen["scope"]["audience"]) == (str(SIGNER.public_key), path)
    assert seen["current"] == seen["scope"]
    assert endpoint.events(path) == [f"http {path}"]


# What a server may drop, join or reorder. `test_all_adapters` tries the rest behind one of them.
REFUSED: list[tuple[str, Reason, Callable[[str], Fields]]] = [
    ("no header", Reason.MISSING_SCHEME, lambda _path: []),
    ("no scheme", Reason.MISSING_SCHEME, lambda path: signed(path)[1:]),
    ("an empty scheme", Reason.MISSING_SCHEME, lambda path: [(SCHEME_FIELD[0], ""), *signed(path)[1:]]),
    ("no token", Reason.MISSING_TOKEN, lambda _path: [SCHEME_FIELD]),
    ("an empty token", Reason.MISSING_TOKEN, lambda _path: [SCHEME_FIELD, token_field("")]),
    ("the token twice", Reason.REPEATED_HEADER, lambda path: [*signed(path), signed(path)[1]]),
    (
        "a forged token after the genuine one",
        Reason.REPEATED_HEADER,
        lambda path: [*signed(path), token_field(STRANGER.token(path))],
    ),
    (
        "a forged token before the genuine one",
        Reason.REPEATED_HEADER,
        lambda path: [token_field(STRANGER.token(path)), *signed(path)],
    ),
    ("the scheme twice", Reason.REPEATED_HEADER, lambda path: [SCHEME_FIELD, *signed(path)]),
    ("scheme unsigned and v1", Reason.REPEATED_HEADER, lambda path: [(SCHEME_FIELD[0], "unsigned"), *signed(path)]),
    ("another path", Reason.WRONG_AUDIENCE, lambda path: signed(path + "2")),
]


@pytest.mark.parametrize(("reason", "fields"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_request_that_is_not_proven_is_refused_and_the_app_does_not_run(
    endpoint: Endpoint, reason: Reason, fields: Callable[[str], Fields]
) -> None:
    path = fresh_path("identity")

    refused = endpoint.client.get(path, headers=fields(path))

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "RestateRequestIdentity"
    assert refused.headers["content-type"] == "application/json"
    assert refused.content == REFUSAL_BODY
    assert endpoint.events(path) == []
    assert f": {reason}: " in line_in_the_log(endpoint.server, path)
    # The twin: the same request, signed.
    assert endpoint.client.get(path, headers=signed(path)).status_code == 200
    assert endpoint.events(path) == [f"http {path}"]


def test_a_refused_head_request_has_no_body_and_leaves_the_connection_usable(endpoint: Endpoint) -> None:
    path = fresh_path("identity")

    refused = endpoint.client.head(path)

    assert (refused.status_code, refused.content) == (401, b"")
    assert refused.headers["www-authenticate"] == "RestateRequestIdentity"
    assert endpoint.client.head(path, headers=signed(path)).status_code == 200
    assert endpoint.client.get(path, headers=signed(path)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_an_unsigned_request_is_refused_whatever_its_method(endpoint: Endpoint, method: str) -> None:
    path = fresh_path("identity")

    with endpoint.exchange(method, path) as refused:
        assert refused.status() == 401
    with endpoint.exchange(method, path, signed(path)) as accepted:
        assert accepted.status() == 200


def test_an_unsigned_upload_is_refused_and_the_client_sees_the_401(endpoint: Endpoint) -> None:
    path = fresh_path("size")
    body = bytes(5_000_000)

    with endpoint.exchange("POST", path, body=True) as refused:
        refused.send(body)
        refused.end()
        assert (refused.status(), refused.read()) == (401, REFUSAL_BODY)
    assert endpoint.events(path) == []
    with endpoint.exchange("POST", path, signed(path), body=True) as accepted:
        accepted.send(body)
        accepted.end()
        assert (accepted.status(), accepted.read()) == (200, b"5000000")


def test_a_refusal_does_not_wait_for_the_body(endpoint: Endpoint) -> None:
    path = fresh_path("size")

    with endpoint.exchange("POST", path, body=True) as refused:
        # Not a piece of the body was sent, nor its end.
        assert (refused.status(), refused.read()) == (401, REFUSAL_BODY)
    with endpoint.exchange("POST", path, signed(path), body=True) as accepted:
        accepted.send(b"123")
        accepted.end()
        assert (accepted.status(), accepted.read()) == (200, b"3")


# --- what passes through


def test_pieces_of_a_request_reach_the_app_as_they_come_and_so_do_those_of_the_response(endpoint: Endpoint) -> None:
    path = fresh_path("echo")

    with endpoint.exchange("POST", path, signed(path), body=True) as exchange:
        exchange.send(b"one")
        assert exchange.status() == 200
        assert exchange.read() == b"one"
        exchange.send(b"two")
        assert exchange.read() == b"two"
        exchange.end()
        assert exchange.read() == b""


def test_the_client_has_the_first_piece_of_a_response_before_the_app_ends(endpoint: Endpoint) -> None:
    path = fresh_path("drip")

    with endpoint.client.stream("GET", path, headers=signed(path)) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"first"
        with endpoint.exchange("GET", "/release") as release:
            assert release.status() == 200
        assert b"".join(pieces) == b"last"


def test_trailers_of_a_response_reach_the_client(
    watched: Callable[[str], Server],
) -> None:
    path = fresh_path("trailers")

    # Of the three servers, only hypercorn sends them.
    with Http2Exchange(watched("hypercorn").port, "GET", path, [*signed(path), ("te", "trailers")]) as exchange:
        assert exchange.status() == 200
        assert exchange.read() == b"body"
        assert exchange.read() == b""
        assert exchange.trailers == [("x-sum", "42")]


def test_the_app_is_told_when_the_client_goes(endpoint: Endpoint) -> None:
    path = fresh_path("linger")

    with endpoint.exchange("GET", path, signed(path)) as exchange:
        assert (exchange.status(), exchange.read()) == (200, b"first")
    eventually(lambda: f"http.disconnect {path}" in endpoint.events(path))


def test_lifespan_reaches_the_app(endpoint: Endpoint) -> None:
    assert endpoint.client.get("/events").json().count("lifespan.startup") == 1


# --- exempt paths


def test_an_exempt_path_is_served_to_anybody_and_has_no_identity(endpoint: Endpoint) -> None:
    response = endpoint.client.get("/health")

    assert (response.status_code, response.json()) == (200, {"identity": None})


# --- bad input

ODD_BYTES = bytes(range(0x80, 0x100))
# No target of an HTTP/2 request, nor in part of an HTTP/1.1 one: some servers refuse them before the app.
MALFORMED_TARGETS: dict[str, bytes] = {
    "no slash": b"invoke/a/b",
    "an asterisk": b"*",
    "absolute form": b"http://localhost/invoke/a/b",
    "absolute form of a path like an exempt one": b"http://localhost/health/",
}
ODD_FIELDS: dict[str, list[tuple[str, bytes]]] = {
    "odd bytes as scheme": [("x-restate-signature-scheme", ODD_BYTES)],
    "odd bytes as token": [("x-restate-signature-scheme", b"v1"), ("x-restate-jwt-v1", ODD_BYTES)],
    "odd bytes elsewhere": [("x-other", ODD_BYTES)],
    "a token of 60 kB": [("x-restate-signature-scheme", b"v1"), ("x-restate-jwt-v1", b"a" * 60_000)],
    "95 headers": [(f"x-header-{number}", b"value") for number in range(95)],
    "95 tokens": [("x-restate-signature-scheme", b"v1"), *[("x-restate-jwt-v1", b"a.b.c")] * 94],
}


@pytest.mark.parametrize("target", MALFORMED_TARGETS.values(), ids=MALFORMED_TARGETS.keys())
def test_a_malformed_target_is_refused_by_the_server_or_the_guard(endpoint: Endpoint, target: bytes) -> None:
    before = endpoint.client.get("/events").json()

    with endpoint.exchange("GET", target) as exchange:
        try:
            assert exchange.status() in (400, 401)
        except ConnectionError:
            assert endpoint.exchange_type is Http2Exchange, "over HTTP/1.1 there is an answer"

    assert endpoint.client.get("/events").json() == before


@pytest.mark.parametrize("fields", ODD_FIELDS.values(), ids=ODD_FIELDS.keys())
def test_odd_headers_are_refused(endpoint: Endpoint, fields: list[tuple[str, bytes]]) -> None:
    with endpoint.exchange("GET", fresh_path("identity"), fields) as exchange:
        assert exchange.status() == 401
    assert endpoint.client.get("/health").status_code == 200


@pytest.mark.parametrize("odd", ["odd bytes elsewhere", "95 headers"])
def test_odd_headers_beside_a_signature_keep_nobody_out(endpoint: Endpoint, odd: str) -> None:
    path = fresh_path("identity")

    with endpoint.exchange("GET", path, [*ODD_FIELDS[odd], *signed(path)]) as exchange:
        assert exchange.status() == 200


# --- WebSocket


@pytest.fixture(params=["uvicorn", "uvicorn-wsproto", "hypercorn", "granian"])
def websocket_server(request: pytest.FixtureRequest, watched: Callable[[str], Server]) -> Server:
    return watched(request.param)


def test_a_signed_websocket_handshake_is_accepted(websocket_server: Server) -> None:
    path = fresh_path("socket")
    uri = f"ws://127.0.0.1:{websocket_server.port}{path}"

    with connect(uri, additional_headers=signed(path), proxy=None, open_timeout=TIMEOUT) as websocket:
        websocket.send("one")
        assert websocket.recv(TIMEOUT) == f"one for {path}"
        websocket.send("two")
        assert websocket.recv(TIMEOUT) == f"two for {path}"


@pytest.mark.parametrize(("reason", "fields"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_websocket_handshake_that_is_not_proven_is_refused_and_the_app_does_not_run(
    websocket_server: Server, reason: Reason, fields: Callable[[str], Fields]
) -> None:
    path = fresh_path("socket")

    with socket.create_connection(("127.0.0.1", websocket_server.port), timeout=TIMEOUT) as connection:
        lines = [f"GET {path} HTTP/1.1", "host: localhost", "upgrade: websocket", "connection: upgrade"]
        lines += ["sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += [f"{name}: {value}" for name, value in fields(path)]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        response = HTTPResponse(connection)
        response.begin()
        refusal = (response.status, response.getheader("www-authenticate"), response.read())
        response.close()

    # All of these servers offer the extension "Websocket Denial Response"; others answer with 403.
    assert refusal == (401, "RestateRequestIdentity", REFUSAL_BODY)
    assert f": {reason}: " in line_in_the_log(websocket_server, path)
    with connect(
        f"ws://127.0.0.1:{websocket_server.port}{path}", additional_headers=signed(path), proxy=None
    ) as accepted:
        accepted.send("twin")
        assert accepted.recv(TIMEOUT) == f"twin for {path}"
    events = httpx.get(f"http://127.0.0.1:{websocket_server.port}/events", trust_env=False, verify=False).json()
    assert [event for event in events if event.endswith(path)] == [f"websocket {path}"]
