"""A refused request with a body harms only its sender: servers over real sockets, HTTP/2 and HTTP/1.1.

Behind a proxy, the requests of many callers share an HTTP/2 connection. The SDK's own verifier loses no genuine request
because of a refused one, and the guards of this library must not either.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import h2.exceptions
import pytest

from restate_identity.signing import RequestSigner
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.servers import Server, granian, hypercorn, serve, uvicorn
from tests.support.wire import TIMEOUT, Http2Connection, Http2Exchange, Http2Stream

SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)
PATH = "/invoke/Greeter/greet"
FIELDS = [("content-type", CONTENT_TYPE)]
BODY = invocation_body("", "Ada")
FIRST, REST = BODY[:10], BODY[10:]
GENUINE = 20
KIBIBYTE, MEBIBYTE = 2**10, 2**20

HTTP2: dict[str, Callable[..., tuple[str, ...]]] = {
    "hypercorn": lambda app, *options: hypercorn(app, "--keep-alive=600", *options),
    "granian": granian,
}
OURS = [(server, guard) for server in HTTP2 for guard in ("middleware", "dependency")]
# Behind granian the SDK's 401 waits for the end of the request's body, because the SDK sends no body of its own first.
TWIN = ("hypercorn", "sdk")


def running(server: str, guard: str, *options: str) -> AbstractContextManager[Server]:
    return serve(*HTTP2[server](f"tests.support.apps.sharing:{guard}", *options), identity_key=KEY)


@pytest.fixture(scope="module", params=[*OURS, TWIN], ids=" ".join)
def served(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(*request.param) as served:
        yield served
        assert "Traceback" not in served.printed


@pytest.fixture
def connection(served: Server) -> Iterator[Http2Connection]:
    with Http2Connection(served.port) as connection:
        yield connection


def unsigned(connection: Http2Connection) -> Http2Stream:
    return Http2Stream(connection, "POST", PATH, FIELDS, body=True)


def in_flight(connection: Http2Connection) -> list[Http2Stream]:
    """Return genuine requests whose heads and the beginnings of whose bodies were sent."""
    requests = []
    for _ in range(GENUINE):
        genuine = Http2Stream(connection, "POST", PATH, [*FIELDS, *SIGNER.headers(PATH).items()], body=True)
        genuine.send(FIRST)
        requests.append(genuine)
    return requests


def answered(genuine: list[Http2Stream]) -> int:
    """Send the rest of the genuine requests and return how many of them get their whole answer."""
    count = 0
    with suppress(ConnectionError, TimeoutError):
        for request in genuine:
            request.send(REST)
            request.end()
        for request in genuine:
            count += request.status() == 200 and b"Ada" in request.rest()
    return count


# --- the neighbours on a connection of HTTP/2


@pytest.mark.parametrize("size", [256 * KIBIBYTE, 2 * MEBIBYTE, 8 * MEBIBYTE], ids="{} bytes".format)
def test_a_refused_body_costs_no_genuine_request_on_its_connection(connection: Http2Connection, size: int) -> None:
    genuine = in_flight(connection)
    refused = unsigned(connection)
    refused.send(bytes(size))
    refused.end()

    assert answered(genuine) == GENUINE
    assert refused.status() == 401


def test_a_body_that_ends_long_after_its_refusal_costs_none(connection: Http2Connection) -> None:
    genuine = in_flight(connection)
    refused = unsigned(connection)
    assert refused.status() == 401

    assert answered(genuine) == GENUINE
    refused.send(bytes(256 * KIBIBYTE))
    assert answered(in_flight(connection)) == GENUINE
    refused.send(b"the last part")
    refused.end()
    refused.rest()
    assert answered(in_flight(connection)) == GENUINE


def test_a_body_that_goes_on_and_on_costs_none(connection: Http2Connection) -> None:
    genuine = in_flight(connection)
    refused = unsigned(connection)
    assert refused.status() == 401

    for request in genuine:
        refused.send(bytes(20 * KIBIBYTE))
        assert answered([request]) == 1
        refused.send(bytes(20 * KIBIBYTE))


@pytest.mark.parametrize("sent", [0, 100 * KIBIBYTE], ids=["before its body", "within its body"])
def test_a_refused_caller_who_gives_up_costs_none(connection: Http2Connection, sent: int) -> None:
    genuine = in_flight(connection)
    refused = unsigned(connection)
    refused.send(bytes(sent))
    assert refused.status() == 401
    refused.reset()

    assert answered(genuine) == GENUINE


def test_a_refused_caller_whose_connection_breaks_costs_none(served: Server, connection: Http2Connection) -> None:
    genuine = in_flight(connection)
    for _ in range(10):
        with Http2Exchange(served.port, "POST", PATH, FIELDS, body=True) as refused:
            refused.send(bytes(100 * KIBIBYTE))
            assert refused.status() == 401

    assert answered(genuine) == GENUINE


def test_heads_without_a_body_and_without_an_end_cost_none(connection: Http2Connection) -> None:
    genuine = in_flight(connection)
    refused = [unsigned(connection) for _ in range(40)]

    assert answered(genuine) == GENUINE
    assert {request.status() for request in refused} == {401}
    assert answered(in_flight(connection)) == GENUINE


def test_connections_that_fall_silent_after_a_refusal_cost_none(served: Server, connection: Http2Connection) -> None:
    with ExitStack() as silent:
        for _ in range(20):
            refused = Http2Exchange(served.port, "POST", PATH, FIELDS, body=True)
            silent.enter_context(refused)
            assert refused.status() == 401

        assert answered(in_flight(connection)) == GENUINE


@pytest.mark.parametrize("guard", ["middleware", "sdk"])
@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("CONNECT", PATH, [(":protocol", "websocket"), ("sec-websocket-version", "13")]),
        ("POST", "/health", []),
    ],
    ids=["a refused websocket", "an open path"],
)
def test_hypercorn_still_ends_the_connection_after_other_early_answers_whatever_the_guard(
    guard: str, method: str, path: str, fields: list[tuple[str, str]]
) -> None:
    # What SECURITY.md names as a limit of hypercorn 0.18. When this fails, hypercorn has changed.
    with running("hypercorn", guard) as served, Http2Connection(served.port) as connection:
        genuine = in_flight(connection)
        early = Http2Stream(connection, method, path, fields, body=True)
        early.rest()
        early.send(b"a part")
        assert answered(genuine) == 0


# --- what a refused caller can hold


@pytest.mark.parametrize("served", OURS, ids=" ".join, indirect=True)
def test_a_refused_body_is_not_kept(served: Server) -> None:
    poured = 8 * MEBIBYTE
    with Http2Exchange(served.port, "POST", PATH, FIELDS, body=True) as refused:
        assert refused.status() == 401
        refused.send(bytes(MEBIBYTE))
        before = served.memory()
        refused.send(bytes(poured))
        assert served.memory() - before < poured / 2


def test_a_refused_body_that_does_not_end_takes_one_stream_of_those_that_the_server_allows(tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text("h2_max_concurrent_streams = 2\n")
    with (
        running("hypercorn", "middleware", f"--config={config}") as served,
        Http2Connection(served.port) as connection,
    ):
        refused = [unsigned(connection), unsigned(connection)]
        assert [request.status() for request in refused] == [401, 401]
        with pytest.raises(h2.exceptions.TooManyStreamsError):
            unsigned(connection)
        refused[0].end()
        refused[0].rest()
        assert unsigned(connection).status() == 401


@pytest.mark.parametrize(
    ("server", "limits"),
    [
        ("hypercorn", ["--read-timeout=1"]),
        ("granian", ["--http2-keep-alive-interval=1000", "--http2-keep-alive-timeout=1"]),
    ],
)
def test_a_limit_of_the_server_ends_the_connection_of_a_refused_caller_who_falls_silent(
    server: str, limits: list[str]
) -> None:
    with running(server, "middleware", *limits) as served, Http2Connection(served.port) as connection:
        assert unsigned(connection).status() == 401
        assert connection.is_cut_off()


def spooled_files(served: Server) -> list[str]:
    """Return the temporary files without a name that the server has open."""
    return [link for link in served.open_files() if link.endswith(" (deleted)")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the files of another process")
def test_around_django_the_asgi_middleware_refuses_before_the_body_is_written_to_disk() -> None:
    def spooled_before_the_end(app: str) -> list[str]:
        with (
            serve(*HTTP2["hypercorn"](f"tests.support.apps.django_project:{app}"), identity_key=KEY) as served,
            Http2Exchange(served.port, "POST", PATH, FIELDS, body=True) as refused,
        ):
            # Django keeps 2.5 MB in memory.
            refused.send(bytes(4 * MEBIBYTE))
            files = spooled_files(served)
            refused.end()
            assert (refused.status(), refused.rest()) == (401, b'{"error":"unauthorized"}')
            return files

    assert spooled_before_the_end("asgi_guarded") == []
    assert len(spooled_before_the_end("asgi")) == 1


# --- HTTP/1.1, where nobody shares a connection


@pytest.fixture(scope="module")
def uvicorn_port() -> Iterator[int]:
    command = uvicorn("tests.support.apps.asgi:app", "--timeout-keep-alive=3")
    with serve(*command, identity_key=KEY) as served:
        yield served.port


def test_after_a_refused_upload_uvicorn_serves_the_next_request_of_the_connection(uvicorn_port: int) -> None:
    head, body = head_of_a_post(MEBIBYTE), bytes(MEBIBYTE)
    with socket.create_connection(("127.0.0.1", uvicorn_port), timeout=TIMEOUT) as caller:
        caller.sendall(head)
        assert status_of(caller) == 401
        caller.sendall(body + head + body)
        assert status_of(caller) == 401


def test_uvicorn_ends_the_connection_of_a_refused_caller_who_falls_silent(uvicorn_port: int) -> None:
    with socket.create_connection(("127.0.0.1", uvicorn_port), timeout=TIMEOUT) as caller:
        caller.sendall(head_of_a_post(MEBIBYTE))
        assert status_of(caller) == 401
        assert caller.recv(1) == b""


def test_a_refused_caller_who_asks_whether_to_continue_is_not_told_to(uvicorn_port: int) -> None:
    with socket.create_connection(("127.0.0.1", uvicorn_port), timeout=TIMEOUT) as caller:
        caller.sendall(head_of_a_post(10, "expect: 100-continue\r\n"))
        assert status_of(caller) == 401
        assert caller.recv(1) == b""


def head_of_a_post(length: int, more: str = "") -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{more}\r\n".encode()


def status_of(caller: socket.socket) -> int:
    """Read a refusal from the connection and return its status."""
    response = b""
    while not response.endswith(b'{"error":"unauthorized"}'):
        part = caller.recv(65536)
        assert part, response
        response += part
    return int(response.split(b" ")[1])
