"""The WSGI middleware behind real servers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from restate_identity.signing import RequestSigner
from tests.support.servers import Server, gunicorn, serve, waitress

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()

SERVERS = {
    "gunicorn": gunicorn("tests.support.apps.wsgi:app"),
    "gunicorn, underscores let through": gunicorn("tests.support.apps.wsgi:app", "--header-map=dangerous"),
    "waitress": waitress("tests.support.apps.wsgi:app"),
}


@contextmanager
def served(name: str) -> Iterator[Server]:
    with serve(*SERVERS[name], identity_key=str(SIGNER.public_key)) as server:
        yield server


def underscored(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("name", "underscored_only", "both", "refusals"),
    [
        ("gunicorn", 401, 200, ["missing_scheme", "missing_scheme", "wrong_audience"]),
        # The application could not tell the difference either; what lets the request in is still the genuine token.
        (
            "gunicorn, underscores let through",
            200,
            401,
            ["unsupported_algorithm", "repeated_header", "wrong_audience"],
        ),
        ("waitress", 401, 200, ["missing_scheme", "missing_scheme", "wrong_audience"]),
    ],
)
def test_headers_with_underscores_never_stand_in_for_a_missing_proof(
    name: str, underscored_only: int, both: int, refusals: list[str]
) -> None:
    headers = SIGNER.headers(PATH)
    forged = underscored({**headers, "x-restate-jwt-v1": "e30.e30.e30"})
    with served(name) as server:
        assert server.request(PATH, list(headers.items())).status == 200
        assert server.request(PATH, list(underscored(headers).items())).status == underscored_only
        assert server.request(PATH, list(forged.items())).status == 401
        assert server.request(PATH, [*headers.items(), *forged.items()]).status == both
        # A file that the server sends by itself.
        sent = server.request(f"{PATH}?file", list(headers.items()))
        assert (sent.status, json.loads(sent.body)["current_identity_agrees"]) == (200, True)
        # A path that is not UTF-8.
        assert server.request(f"/%ff{PATH}", list(headers.items())).status == 401
        assert server.refusals(3) == refusals


@pytest.mark.parametrize(("name", "reads_it_first"), [("gunicorn", False), ("waitress", True)])
def test_some_servers_read_the_body_before_the_middleware_is_asked(name: str, reads_it_first: bool) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n".encode()
    with served(name) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as caller:
        caller.sendall(head)
        if reads_it_first:
            caller.settimeout(1)
            with pytest.raises(TimeoutError):
                caller.recv(1)
            caller.settimeout(20)
            caller.sendall(b"body")
        assert caller.recv(65536).startswith(b"HTTP/1.1 401")
