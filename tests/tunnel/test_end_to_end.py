"""A real Restate server calls services through the tunnel, while its connections are killed, drained and replaced."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from restate_identity.signing import RequestSigner
from restate_identity.tunnel import Tunnel, connect_tunnel
from tests.support.restate_server import RestateServer
from tests.tunnel import services
from tests.tunnel.dialling import TOKEN, until
from tests.tunnel.public import HARM, Public

CONNECTIONS = 3


@dataclass
class Deployment:
    """Services that a real server reaches through the tunnel only."""

    server: RestateServer
    public: Public
    tunnel: Tunnel
    http: httpx.AsyncClient

    async def call(self, path: str, argument: object = None) -> Any:
        response = await self.http.post(f"{self.server.ingress_url}/{path}", json=argument)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None


@asynccontextmanager
async def deployed(server: RestateServer, identity_pem: Path) -> AsyncIterator[Deployment]:
    """Serve the services through a tunnel to three servers, and have *server* register them."""
    async with AsyncExitStack() as stack:
        public = await stack.enter_async_context(Public(CONNECTIONS))
        tunnel = await stack.enter_async_context(
            connect_tunnel(
                services.app,
                tunnel_name="greeter",
                environment_id="env_environment",
                signing_public_key=RequestSigner.from_pem(identity_pem).public_key,
                auth_token=TOKEN,
                servers=public.servers,
            )
        )
        limits = httpx.Limits(max_connections=None)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=90, limits=limits))
        deployment = Deployment(server, public, tunnel, http)
        await tunnel.ready()
        await until(lambda: len(public.in_use) == CONNECTIONS)
        assert tunnel.deployment_url is not None
        response = await asyncio.to_thread(server.register, tunnel.deployment_url)
        assert response.status_code == 201, response.text
        yield deployment


async def test_every_kind_of_handler_is_served_through_the_tunnel(
    restate_server: RestateServer, identity_pem: Path
) -> None:
    async with deployed(restate_server, identity_pem) as deployment:
        greeting = await deployment.call("Greeter/greet", "Ada")
        assert greeting == {"greeting": "Hello, Ada!", "audience": "/invoke/Greeter/greet"}
        assert await deployment.call("Greeter/nap", 1500) == 1500
        key = f"a/ü {uuid.uuid4()}"
        quoted = httpx.URL("http://x").copy_with(path=f"/{key}").raw_path.decode()[1:].replace("a/", "a%2F")
        for entry in range(3):
            assert await deployment.call(f"Ledger/{quoted}/book", entry) == entry
        assert await deployment.call(f"Ledger/{quoted}/entries") == [0, 1, 2]
        user = str(uuid.uuid4())
        workflow = asyncio.ensure_future(deployment.call(f"Signup/{user}/run", "ada@example.com"))
        await deployment.call(f"Signup/{user}/confirm", "yes")
        assert await workflow == {"email": "ada@example.com", "key": user, "confirmed": "yes"}
        text = "0123456789" * 1_000_000
        assert await deployment.call("Greeter/echo", text) == text
        assert all(line.forwarded for line in deployment.public.lines)


async def test_no_invocation_is_lost_or_runs_twice_while_connections_are_killed_drained_and_replaced(
    restate_server: RestateServer, identity_pem: Path
) -> None:
    async with deployed(restate_server, identity_pem) as deployment:
        ledgers: dict[str, list[int]] = {str(uuid.uuid4()): [] for _ in range(5)}
        entries = itertools.count()
        text = "x" * 300_000
        harm = itertools.cycle(HARM)
        done: Counter[str] = Counter()

        async def caller(booked: list[int], ledger: str) -> None:
            turns = 0
            # However fast the machine is: nobody stops calling before each harm was done.
            while turns < 4 or len(done) < len(HARM):
                turns += 1
                booked.append(entry := next(entries))
                assert await deployment.call(f"Ledger/{ledger}/book", entry) == entry
                assert await deployment.call("Greeter/nap", 400 + entry % 100) == 400 + entry % 100
                assert await deployment.call("Greeter/echo", text) == text

        callers = [asyncio.ensure_future(caller(ledgers[ledger], ledger)) for ledger in 5 * list(ledgers)]
        everything = asyncio.gather(*callers)
        # Never so often that nothing gets through.
        while not everything.done() and sum(done.values()) < 24:
            await asyncio.sleep(0.2)
            lines = deployment.public.in_use
            if len(lines) == CONNECTIONS:
                what = next(harm)
                if await deployment.public.harm(what, lines[0]):
                    done[what] += 1
        await everything
        for ledger, booked in ledgers.items():
            assert sorted(await deployment.call(f"Ledger/{ledger}/entries")) == booked
        await until(lambda: len(deployment.public.in_use) == CONNECTIONS)
        ended = done["kill"] + done["drain"] + done["goaway"]
        # A replacement may be killed or drained before this test has seen it serve, and it is replaced too.
        assert len(deployment.public.lines) >= CONNECTIONS + ended
        assert sum(line.forwarded > 0 for line in deployment.public.lines) > CONNECTIONS


async def test_a_nap_outlives_every_connection_there_was(restate_server: RestateServer, identity_pem: Path) -> None:
    async with deployed(restate_server, identity_pem) as deployment:
        nap = asyncio.ensure_future(deployment.call("Greeter/nap", 3000))
        await until(lambda: sum(line.forwarded for line in deployment.public.lines) >= 2)
        first = deployment.public.lines
        for line in first:
            assert await deployment.public.harm("kill", line)
        assert await nap == 3000
        assert all(line.lost for line in deployment.public.lines[: len(first)])


async def test_forged_requests_that_come_through_the_tunnel_are_refused(
    restate_server: RestateServer, identity_pem: Path
) -> None:
    async with deployed(restate_server, identity_pem) as deployment:
        forger = RequestSigner.generate()
        url = f"{deployment.tunnel.deployment_url}invoke/Greeter/greet"
        async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=30) as client:
            assert (await client.post(url)).status_code == 401
            assert (await client.post(url, content=bytes(2**21))).status_code == 401
            assert (await client.post(url, headers=forger.headers("/invoke/Greeter/greet"))).status_code == 401
            genuine = RequestSigner.from_pem(identity_pem).headers("/discover")
            discovery = url.replace("invoke/Greeter/greet", "discover")
            accept = {"accept": "application/vnd.restate.endpointmanifest.v3+json"}
            assert (await client.get(discovery, headers={**genuine, **accept})).status_code == 200
