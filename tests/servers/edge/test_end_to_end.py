"""A real Restate server calls services of the TypeScript SDK, which have no keys, through each real proxy."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from restate_identity.signing import RequestSigner
from tests.support.edge_command import edge
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.support.probed.typescript import installed_service
from tests.support.processes import accepts_connections, free_port, running
from tests.support.restate_server import RestateServer
from tests.support.wire import Http2Exchange

AWKWARD = "Ada & Grüße/π?#%2F\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with running(
        ["node", str(installed_service() / "unguarded.mjs")],
        log=tmp_path_factory.mktemp("typescript") / "log",
        env={**os.environ, "PORT": str(port)},
        ready=lambda: accepts_connections(port),
        patience=2,
    ):
        yield port


@pytest.mark.parametrize("name", INSTALLED)
def test_a_service_without_keys_serves_restate_and_nobody_else(
    name: str, service: int, restate_server: RestateServer, identity_pem: Path, tmp_path: Path
) -> None:
    key = str(RequestSigner.from_pem(identity_pem).public_key)
    with (
        edge(tmp_path, "--behind", name, keys={"RESTATE_IDENTITY_KEYS": key}) as (_, edge_port, log),
        proxy(name, edge=edge_port, service=service) as port,
    ):
        registered = restate_server.register(f"http://127.0.0.1:{port}{PREFIX}")
        assert registered.is_success, registered.text

        def call(*path: str, argument: object) -> Any:
            response = restate_server.invoke("/".join(quote(segment, safe="") for segment in path), argument)
            assert response.status_code == 200, response.text
            return response.json()

        unsigned = {"signedBy": key, "subject": ""}
        assert call("Greeter", "greet", argument="Ada") == {"greeting": "Hello, Ada!", **unsigned}
        object_key = f"{AWKWARD}{uuid.uuid4()}"
        signed = {"key": object_key, "signedBy": key, "subject": quote(object_key, safe="")}
        assert call("Counter", object_key, "add", argument=2) == {"total": 2, **signed}
        assert call("Counter", object_key, "add", argument=3) == {"total": 5, **signed}
        assert call("Signup", object_key, "run", argument="a@b.c") == {"email": "a@b.c", "confirmed": True, **signed}
        assert call("Greeter", "nap", argument=1500) == {"slept": 1500, **unsigned}
        payload = "x" * 10_000_000
        assert call("Greeter", "echo", argument=payload) == payload
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda number: call("Greeter", "greet", argument=str(number)), range(100)))
        assert answers == [{"greeting": f"Hello, {number}!", **unsigned} for number in range(100)]
        # A refusal that is not about a call is of a request that asked whether the proxy is ready.
        assert [line for line in log.read_text().splitlines() if "refused" in line and "/invoke/" in line] == []

        with Http2Exchange(port, "POST", f"{PREFIX}/invoke/Greeter/greet") as exchange:
            assert exchange.status() == 401
