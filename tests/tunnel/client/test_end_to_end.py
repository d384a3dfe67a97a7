"""A real Restate server calls services in other processes, which know nothing of a tunnel, through the client."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from restate_identity.signing import RequestSigner
from restate_identity.tunnel.client import AllowList, ClientSettings, TunnelClient, open_client
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from tests.support.probed.typescript import installed_service
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer
from tests.support.servers import Server, hypercorn, serve, uvicorn
from tests.tunnel.client.clients import HTTP1
from tests.tunnel.dialling import TOKEN, until
from tests.tunnel.public import Public

CONNECTIONS = 2
MEGABYTE = 1_000_000


class Kind(NamedTuple):
    """A kind of service: its command, the handler of its virtual object, and the headers it is called with."""

    command: tuple[str, ...]
    add: str
    headers: dict[str, str]


def kinds() -> dict[str, Kind]:
    node = ("node", str(installed_service() / "unguarded.mjs"))
    return {
        "typescript": Kind(node, "Counter/{key}/add", {}),
        "hypercorn": Kind(hypercorn("tests.tunnel.services:app"), "Ledger/{key}/book", {}),
        "uvicorn": Kind(uvicorn("tests.tunnel.services:app"), "Ledger/{key}/book", HTTP1),
    }


class Deployment(NamedTuple):
    """A service that a real server reaches through the client only."""

    kind: str
    add: str
    server: RestateServer
    public: Public
    client: TunnelClient
    service: Server
    http: httpx.AsyncClient

    async def call(self, path: str, argument: object = None) -> Any:
        response = await self.http.post(f"{self.server.ingress_url}/{path}", json=argument)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None


@pytest.fixture(scope="module", params=["typescript", "hypercorn", "uvicorn"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    port = free_port()
    with serve(*kinds()[request.param].command, port=port, env={**os.environ, "PORT": str(port)}) as server:
        yield request.param, server


@asynccontextmanager
async def deployed(
    served: tuple[str, Server], restate_server: RestateServer, identity_pem: Path
) -> AsyncIterator[Deployment]:
    """Run a client with the service as its only target, and have the server register the service through it."""
    name, service = served
    kind = kinds()[name]
    async with Public(CONNECTIONS) as public, httpx.AsyncClient(trust_env=False, timeout=90) as http:
        options = tunnel_options(
            {},
            TunnelSettings(
                tunnel_name="greeter",
                environment_id="env_environment",
                signing_public_key=RequestSigner.from_pem(identity_pem).public_key,
                auth_token=TOKEN,
                servers=public.servers,
            ),
        )
        origin = f"http://127.0.0.1:{service.port}"
        async with open_client(ClientSettings(options=options, targets=AllowList.parse([origin]))) as client:
            await client.tunnel.ready()
            await until(lambda: len(public.in_use) == CONNECTIONS)
            # The first target is the deployment that the tunnel names.
            assert client.tunnel.deployment_url == f"{public.proxy_url}/http/127.0.0.1/{service.port}/"
            deployment = {"uri": client.tunnel.deployment_url, "additional_headers": kind.headers, "force": True}
            response = await http.post(f"{restate_server.admin_url}/deployments", json=deployment)
            assert response.status_code in (200, 201), response.text
            yield Deployment(name, kind.add, restate_server, public, client, service, http)


async def test_every_kind_of_handler_is_served_through_the_client(
    served: tuple[str, Server], restate_server: RestateServer, identity_pem: Path
) -> None:
    async with deployed(served, restate_server, identity_pem) as deployment:
        call = deployment.call
        assert (await call("Greeter/greet", "Ada"))["greeting"] == "Hello, Ada!"
        key = str(uuid.uuid4())
        nap = asyncio.ensure_future(call("Greeter/nap", 1500))
        await asyncio.gather(*(call(deployment.add.format(key=key), 1) for _ in range(3)))
        if deployment.kind == "typescript":
            assert (await call(f"Counter/{key}/add", 1))["total"] == 4
            assert (await call(f"Signup/{key}/run", "ada@example.com"))["confirmed"] is True
        else:
            assert await call(f"Ledger/{key}/entries") == [1, 1, 1]
            workflow = asyncio.ensure_future(call(f"Signup/{key}/run", "ada@example.com"))
            await call(f"Signup/{key}/confirm", "yes")
            assert (await workflow)["confirmed"] == "yes"
        text = "0123456789" * (5 * MEGABYTE // 10)
        assert await call("Greeter/echo", text) == text
        greetings = await asyncio.gather(*(call("Greeter/greet", str(number)) for number in range(30)))
        assert [greeting["greeting"] for greeting in greetings] == [f"Hello, {number}!" for number in range(30)]
        await nap
        assert set(deployment.client.counters.requests) == {200}
        assert deployment.client.counters.failures == 0


async def test_an_invocation_outlives_the_connections_of_the_tunnel(
    served: tuple[str, Server], restate_server: RestateServer, identity_pem: Path
) -> None:
    async with deployed(served, restate_server, identity_pem) as deployment:
        before = deployment.client.counters.requests[200]
        nap = asyncio.ensure_future(deployment.call("Greeter/nap", 1000))
        await until(lambda: deployment.client.counters.requests[200] > before)
        lines = deployment.public.in_use
        assert await deployment.public.harm("kill", lines[0])
        assert await deployment.public.harm("drain", lines[1])
        await nap
        await until(lambda: len(deployment.public.in_use) == CONNECTIONS)
