"""The service of `integrations/edge/typescript`, behind nginx, which asks over a Unix socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from restate_identity.signing import RequestSigner
from tests.support.edge_command import edge
from tests.support.edge_proxies import CONFIGURATIONS, INSTALLED, PREFIX, wait_for_its_routes
from tests.support.invocation import invocation_body
from tests.support.probed.typescript import installed_service
from tests.support.processes import accepts_connections, free_port, running
from tests.support.proxies import proxied
from tests.support.restate_server import RestateServer

pytestmark = pytest.mark.skipif("nginx" not in INSTALLED, reason="nginx has a wheel for Linux on x86-64 only")

EXAMPLE = CONFIGURATIONS / "typescript"
ADD = "/invoke/Counter/add"


class Chain(NamedTuple):
    port: int
    signer: RequestSigner


@pytest.fixture(scope="module")
def chain(identity_pem: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    signer = RequestSigner.from_pem(identity_pem)
    folder = tmp_path_factory.mktemp("chain")
    (folder / "node_modules").symlink_to(installed_service() / "node_modules")
    (folder / "app.mjs").write_bytes((EXAMPLE / "app.mjs").read_bytes())
    configuration = folder / "configuration"
    configuration.mkdir()
    told = (CONFIGURATIONS / "nginx" / "nginx.conf").read_text("utf-8")
    socket = folder / "edge.sock"
    over_a_socket = told.replace("server 127.0.0.1:9001;", f"server unix:{socket};")
    assert over_a_socket != told
    (configuration / "nginx.conf").write_text(over_a_socket, "utf-8")
    service, port = free_port(), free_port()
    polyfill = f"--import={installed_service() / 'with_resolvers.mjs'}"
    keys = {"RESTATE_IDENTITY_KEYS": str(signer.public_key)}
    with (
        running(
            ["node", polyfill, str(folder / "app.mjs")],
            log=folder / "service.log",
            env={**os.environ, "PORT": str(service)},
            ready=lambda: accepts_connections(service),
            patience=2,
        ),
        edge(folder, "--behind", "nginx", listen=f"unix:{socket}", keys=keys),
        proxied("nginx", configuration, folder, port=port, upstream=service),
    ):
        wait_for_its_routes(port)
        yield Chain(port, signer)


def test_its_sdk_is_the_one_that_was_tested() -> None:
    wanted = json.loads((EXAMPLE / "package.json").read_text("utf-8"))["dependencies"]
    installed = json.loads((installed_service() / "package.json").read_text("utf-8"))["dependencies"]
    assert {name: version.lstrip("^") for name, version in wanted.items()} == installed


def test_restate_calls_it(chain: Chain, restate_server: RestateServer) -> None:
    restate_server.register(f"http://127.0.0.1:{chain.port}{PREFIX}").raise_for_status()
    answers = [restate_server.invoke("Counter/Ada%20%26%20Bob/add", amount).json() for amount in (2, 3)]
    assert answers == [2, 5]


def test_a_body_that_names_another_object_than_the_one_that_was_signed_for_is_refused(chain: Chain) -> None:
    def answer(key: str) -> bytes:
        with httpx.Client(http1=False, http2=True, trust_env=False) as client:
            url = f"http://127.0.0.1:{chain.port}{PREFIX}{ADD}"
            headers = {
                **chain.signer.headers(ADD, subject="alice"),
                "content-type": "application/vnd.restate.invocation.v5",
            }
            response = client.post(url, headers=headers, content=invocation_body(key, 1))
            assert response.status_code == 200
            return response.content

    refused = b"signed for another object"
    assert refused not in answer("alice")
    assert refused in answer("bob")
