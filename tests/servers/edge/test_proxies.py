"""The configurations of `integrations/edge`, run by the real proxies, in front of a service that verifies nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.edge.attacks import Attacker
from tests.support.edge import Edge, Service, running_edge, running_service
from tests.support.edge_command import edge
from tests.support.edge_proxies import CONFIGURATIONS, INSTALLED, PREFIX, proxy, wait_for_its_routes
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.proxies import proxied
from tests.support.wire import Http1Exchange, Http2Connection, Http2Exchange, Http2Stream

PATH = "/invoke/Greeter/greet"
SUBJECT = "Ada & Grüße/π"
Protocol = type[Http1Exchange] | type[Http2Exchange]
PROTOCOLS = pytest.mark.parametrize("protocol", [Http1Exchange, Http2Exchange], ids=["http1", "http2"])


@dataclass
class Chain:
    """A proxy, the edge that it asks, and the service behind it."""

    name: str
    port: int
    edge: Edge
    service: Service
    signer: RequestSigner


@pytest.fixture(scope="module")
def signer() -> RequestSigner:
    return RequestSigner.generate()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module", params=INSTALLED)
def started(request: pytest.FixtureRequest, signer: RequestSigner, service: Service) -> Iterator[Chain]:
    name: str = request.param
    with running_edge(name, signer) as edge, proxy(name, edge=edge.port, service=service.port) as port:
        yield Chain(name, port, edge, service, signer)


@pytest.fixture
def chain(started: Chain) -> Iterator[Chain]:
    started.service.received.clear()
    started.service.trailers.clear()
    started.edge.asked.clear()
    yield started
    started.edge.status = None
    started.edge.held.set()


def fields(chain: Chain, path: str = PATH, subject: str | None = None) -> list[tuple[str, str]]:
    return list(chain.signer.headers(path, subject=subject).items())


def wait_for_the_question(chain: Chain) -> None:
    """Wait until the edge, which holds its answer, was asked, and then for whatever the proxy does too early."""
    eventually(lambda: chain.edge.asked, failure="the proxy asks nobody")
    time.sleep(0.2)


@PROTOCOLS
def test_a_genuine_request_reaches_the_service_over_http2_with_its_identity(chain: Chain, protocol: Protocol) -> None:
    with protocol(chain.port, "POST", PREFIX + PATH, fields(chain, subject=SUBJECT), body=True) as exchange:
        exchange.send(b"hello")
        exchange.end()
        assert exchange.status() == 200
        assert exchange.read() == b"hello"
    (received,) = chain.service.received
    assert (received.target.decode(), received.http_version) == (PREFIX + PATH, "2")
    assert received.values("x-restate-identity-key") == [str(chain.signer.public_key)]
    assert received.values("x-restate-identity-subject") == [quote(SUBJECT, safe="")]


def test_an_empty_key_is_an_empty_subject_or_none(chain: Chain) -> None:
    with Http2Exchange(chain.port, "POST", PREFIX + PATH, fields(chain, subject="")) as exchange:
        assert exchange.status() == 200
    (received,) = chain.service.received
    assert received.values("x-restate-identity-subject") == ([] if chain.name in ("nginx", "caddy") else [""])


def test_an_object_with_a_key_as_long_as_a_token_allows_reaches_the_service(chain: Chain) -> None:
    # The token has almost 16 KiB, the percent-encoded subject 33 KB.
    subject = "é" * 5500
    chain.edge.held.clear()
    with Http2Exchange(chain.port, "POST", PREFIX + PATH, fields(chain, subject=subject), body=True) as exchange:
        # The proxy adds the subject to a buffer that may be full of the body.
        exchange.send(b"x" * 60_000)
        wait_for_the_question(chain)
        chain.edge.held.set()
        assert exchange.status() == 200
        exchange.end()
    (received,) = chain.service.received
    assert received.values("x-restate-identity-subject") == [quote(subject, safe="")]


def test_a_key_that_is_too_long_costs_no_other_request(chain: Chain) -> None:
    # Whoever may call the ingress chooses the key. This one is as long as its URL may be, and so is the header with it.
    subject = "k" * 65_000
    long = [("x-restate-service-key", subject), *fields(chain, subject=subject)]
    with Http2Connection(chain.port) as connection:
        other = Http2Stream(connection, "POST", PREFIX + PATH, fields(chain), body=True)
        other.send(b"begin")
        assert (other.status(), other.read()) == (200, b"begin")
        with suppress(ConnectionError):  # Envoy resets it
            assert Http2Stream(connection, "POST", PREFIX + PATH, long, body=True).status() >= 400
        other.send(b"end")
        other.end()
        assert other.rest() == b"end"
    assert len(chain.service.received) == 1


def test_discovery_reaches_the_service(chain: Chain) -> None:
    path = "/discover"
    with Http2Exchange(chain.port, "GET", PREFIX + path, fields(chain, path)) as exchange:
        assert exchange.status() == 200
    assert [received.target.decode() for received in chain.service.received] == [PREFIX + path]


def test_connect_does_not_reach_the_service(chain: Chain) -> None:
    for target in (f"{PREFIX}{PATH}", "internal.example:22"):
        with Http1Exchange(chain.port, "CONNECT", target, fields(chain)) as exchange:
            assert exchange.status() in (400, 404, 405, 501)
    assert chain.service.received == []


def test_a_caller_cannot_remove_the_identity_by_naming_it_as_hop_by_hop(chain: Chain) -> None:
    named = ("connection", "x-restate-identity-key, x-restate-identity-subject")
    with Http1Exchange(chain.port, "GET", PREFIX + PATH, [named, *fields(chain, subject="alice")]) as exchange:
        exchange.status()
    for received in chain.service.received:
        assert received.values("x-restate-identity-key") == [str(chain.signer.public_key)]
        assert received.values("x-restate-identity-subject") == ["alice"]


@PROTOCOLS
def test_forged_headers_that_say_who_calls_and_what_are_removed(chain: Chain, protocol: Protocol) -> None:
    forged = [("x-restate-identity-key", "forged"), ("x-restate-identity-subject", "forged")]
    forged += [("x-original-url", "/invoke/Other/run"), ("x-rewrite-url", "/invoke/Other/run")]
    # The signed request has no subject, so nothing would replace a forged one.
    with protocol(chain.port, "POST", PREFIX + PATH, [*forged, *fields(chain)]) as exchange:
        assert exchange.status() == 200
    (received,) = chain.service.received
    assert received.values("x-restate-identity-key") == [str(chain.signer.public_key)]
    assert received.values("x-restate-identity-subject") == []
    assert received.values("x-original-url") == received.values("x-rewrite-url") == []


@PROTOCOLS
@pytest.mark.parametrize("separator", list("_.+!"))
def test_no_spelling_of_them_that_cgi_reads_as_the_same_reaches_the_service(
    chain: Chain, protocol: Protocol, separator: str
) -> None:
    forged = ("x-restate-identity-subject", "x-original-url")
    for name in forged:
        with (
            protocol(
                chain.port, "GET", PREFIX + PATH, [(name.replace("-", separator), "forged"), *fields(chain)]
            ) as exchange,
            suppress(ConnectionError),
        ):
            assert exchange.status() in (200, 400, 401)
    for received in chain.service.received:
        assert not {re.sub("[^a-z0-9]", "-", name.decode().lower()) for name, _ in received.headers} & set(forged)


@PROTOCOLS
def test_only_haproxy_passes_trailers_on(chain: Chain, protocol: Protocol) -> None:
    forged = [("x-restate-identity-subject", "forged")]
    announced = [("te", "trailers"), ("trailer", "x-restate-identity-subject")]
    with protocol(chain.port, "POST", PREFIX + PATH, [*announced, *fields(chain)], body=True) as exchange:
        exchange.end(forged)
        # nginx ends the connection over HTTP/2, and Caddy sometimes breaks the response off.
        with suppress(ConnectionError, HTTPException):
            assert exchange.status() == 200
            exchange.read()
    assert chain.service.trailers == (forged if chain.name == "haproxy" else [])


@PROTOCOLS
def test_requests_that_are_not_signed_for_their_path_do_not_reach_the_service(chain: Chain, protocol: Protocol) -> None:
    stranger = RequestSigner.generate().headers(PATH)
    old = chain.signer.headers(PATH, now=int(time.time()) - 1000)
    for path, headers in [
        (PATH, {}),
        (PATH, {"x-restate-signature-scheme": "unsigned"}),
        (PATH, stranger),
        (PATH, old),
        ("/invoke/Greeter/other", chain.signer.headers(PATH)),
        (f"/more{PATH}", chain.signer.headers(PATH)),
        (f"/invoke/Other/secret;{PATH}", chain.signer.headers(PATH)),
        (f"{PATH}/", chain.signer.headers(PATH)),
    ]:
        with protocol(chain.port, "POST", PREFIX + path, headers.items()) as exchange:
            assert exchange.status() == 401, path
    assert chain.service.received == []


@pytest.mark.parametrize("status", [500, 503, 302, 404])
def test_an_edge_that_does_not_say_yes_or_no_means_no(chain: Chain, status: int) -> None:
    chain.edge.status = status
    with Http2Exchange(chain.port, "POST", PREFIX + PATH, fields(chain)) as exchange:
        assert exchange.status() >= 300
    assert len(chain.edge.asked) == 1
    assert chain.service.received == []


@pytest.mark.skipif("haproxy" not in INSTALLED, reason="HAProxy has a wheel for Linux on x86-64 only")
def test_haproxy_refuses_what_its_lua_fails_to_ask_about(signer: RequestSigner, service: Service) -> None:
    with running_edge("haproxy", signer) as edge, proxy("haproxy", edge=edge.port, service=service.port) as port:
        service.received.clear()
        # A yes without a key, which is a nil in Lua. HAProxy itself would go on.
        edge.status = 200
        with Http2Exchange(port, "POST", PREFIX + PATH, signer.headers(PATH).items()) as exchange:
            assert exchange.status() == 503
    assert service.received == []


@pytest.mark.skipif("haproxy" not in INSTALLED, reason="HAProxy has a wheel for Linux on x86-64 only")
def test_haproxy_asks_over_a_unix_socket(signer: RequestSigner, service: Service, tmp_path: Path) -> None:
    socket, port = tmp_path / "edge.sock", free_port()
    files = tmp_path / "configuration"
    files.mkdir()
    for file in (CONFIGURATIONS / "haproxy").iterdir():
        text = file.read_text("utf-8").replace("identity 127.0.0.1:9001", f"identity unix@{socket}")
        (files / file.name).write_text(text, "utf-8")
    keys = {"RESTATE_IDENTITY_KEYS": str(signer.public_key)}
    with (
        edge(tmp_path, "--behind", "haproxy", listen=f"unix:{socket}", keys=keys),
        proxied("haproxy", files, tmp_path, port=port, upstream=service.port),
    ):
        for headers, status in ((signer.headers(PATH), 200), ({}, 401)):
            with Http2Exchange(port, "POST", PREFIX + PATH, headers.items()) as exchange:
                assert exchange.status() == status


def test_the_service_gets_nothing_before_the_edge_has_answered(chain: Chain) -> None:
    chain.edge.held.clear()
    with Http2Exchange(chain.port, "POST", PREFIX + PATH, fields(chain), body=True) as exchange:
        exchange.send(b"hello")
        wait_for_the_question(chain)
        assert chain.service.received == []
        chain.edge.held.set()
        assert exchange.status() == 200
        assert exchange.read() == b"hello"
        exchange.end()


def test_requests_and_responses_stream_both_ways_at_once(chain: Chain) -> None:
    with Http2Exchange(chain.port, "POST", PREFIX + PATH, fields(chain), body=True) as exchange:
        for number in range(5):
            piece = f"piece {number}".encode()
            exchange.send(piece)
            if number == 0:
                assert exchange.status() == 200
            assert exchange.read() == piece
        exchange.end()
        assert exchange.read() == b""


@pytest.mark.parametrize(
    "upgrade",
    [
        [("upgrade", "h2c"), ("connection", "Upgrade, HTTP2-Settings"), ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")],
        [
            *(("upgrade", "websocket"), ("connection", "Upgrade")),
            *(("sec-websocket-version", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")),
        ],
    ],
    ids=["h2c", "websocket"],
)
def test_no_connection_is_upgraded_to_one_that_the_edge_does_not_see(
    chain: Chain, upgrade: list[tuple[str, str]]
) -> None:
    with Http1Exchange(chain.port, "GET", PREFIX + PATH, [*upgrade, *fields(chain)]) as exchange:
        assert exchange.status() != 101
    assert all(received.http_version == "2" for received in chain.service.received)


def test_no_websocket_over_http2_reaches_the_service(chain: Chain) -> None:
    websocket = [(":protocol", "websocket"), ("sec-websocket-version", "13"), *fields(chain)]
    with Http2Exchange(chain.port, "CONNECT", PREFIX + PATH, websocket, body=True) as exchange:
        try:
            assert exchange.status() >= 400
        except ConnectionError:
            pass
    assert all(received.http_version == "2" for received in chain.service.received)


def test_whatever_reaches_the_service_is_the_prefix_and_the_signed_path(chain: Chain) -> None:
    attacker = Attacker(chain.port, chain.edge, chain.service, chain.signer, seed=int(time.time()))
    attacker.attack(400)
    assert attacker.let_through > 10


@pytest.mark.parametrize("name", INSTALLED)
def test_without_an_edge_nothing_reaches_the_service_and_without_either_no_token_is_logged(
    name: str, signer: RequestSigner, tmp_path: Path
) -> None:
    port, edge_port = free_port(), free_port()
    headers = signer.headers(PATH)
    with ExitStack() as while_the_service_runs:
        service = while_the_service_runs.enter_context(running_service())
        options = {"port": port, "upstream": service.port, "edge": edge_port}
        with proxied(name, CONFIGURATIONS / name, tmp_path, **options) as started:
            wait_for_its_routes(port)
            with Http2Exchange(port, "POST", PREFIX + PATH, headers.items()) as exchange:
                assert exchange.status() in (500, 502, 503)
            assert service.received == []
            while_the_service_runs.close()
            with (
                running_edge(name, signer, edge_port) as edge,
                Http1Exchange(port, "GET", PREFIX + PATH, headers.items()) as exchange,
            ):
                assert exchange.status() in (502, 503)
                assert len(edge.asked) == 1
            assert headers["x-restate-jwt-v1"] not in started.printed
