"""A real Restate server calls services through the tunnel, while its connections are killed, drained and replaced."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.restate_server import RestateServer
from restate_identity import IdentityVerifier
from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.signing import RequestSigner
from restate_identity.tunnel.connection import Connection, EndingKind
from tests.tunnel import services
from tests.tunnel.cloud import Cloud, Line
from tests.tunnel.dialling import CREDENTIALS, QUICK, run, until
from tests.tunnel.public import Public

CONNECTIONS = 3


class Redialled:
    """Connections to one server, each dialled again when it ends, and before that when it is to drain."""

    def __init__(self, cloud: Cloud, app: RequestIdentityMiddleware) -> None:
        self._cloud = cloud
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()
        self.endings: Counter[EndingKind] = Counter()

    def dial(self, _: Connection | None = None) -> None:
        task = asyncio.ensure_future(self._keep())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        while True:
            connection = Connection(
                self._cloud.target,
                self._app,
                identity=CREDENTIALS,
                timings=QUICK,
                on_serving=lambda _: None,
                on_drain=self.dial,
            )
            ending = await connection.run()
            self.endings[ending.kind] += 1
            if ending.kind is not EndingKind.RETRY:
                return

    async def close(self) -> None:
        while self._tasks:
            tasks = set(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@dataclass
class Deployment:
    """Services that a real server reaches through the tunnel only."""

    server: RestateServer
    cloud: Cloud
    public: Public
    tunnel: Redialled
    http: httpx.AsyncClient

    async def call(self, path: str, argument: object = None) -> Any:
        response = await self.http.post(f"{self.server.ingress_url}/{path}", json=argument)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None

    def lines(self) -> list[Line]:
        return [line for line in self.cloud.lines if line.is_accepted and not line.lost and not line.goaways]


@asynccontextmanager
async def deployed(server: RestateServer, identity_pem: Path) -> AsyncIterator[Deployment]:
    verifier = IdentityVerifier([RequestSigner.from_pem(identity_pem).public_key])
    app = RequestIdentityMiddleware(services.app, verifier=verifier)
    async with (
        Cloud() as cloud,
        Public(lambda: cloud.lines) as public,
        httpx.AsyncClient(trust_env=False, timeout=90, limits=httpx.Limits(max_connections=None)) as http,
    ):
        tunnel = Redialled(cloud, app)
        deployment = Deployment(server, cloud, public, tunnel, http)
        for _ in range(CONNECTIONS):
            tunnel.dial()
        try:
            await until(lambda: len(deployment.lines()) == CONNECTIONS)
            response = await asyncio.to_thread(server.register, public.deployment_url)
            assert response.status_code == 201, response.text
            yield deployment
        finally:
            await tunnel.close()


def test_every_kind_of_handler_is_served_through_the_tunnel(restate_server: RestateServer, identity_pem: Path) -> None:
    async def test() -> None:
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
            assert set(deployment.public.forwarded) == set(deployment.cloud.lines)

    run(test())


async def _kill(line: Line) -> None:
    line.kill()


async def _drain(line: Line) -> None:
    await line.drain()


async def _goaway(line: Line) -> None:
    line.goaway()


async def _half(line: Line) -> None:
    """Stay connected, but give up every stream."""
    for exchange in list(line.exchanges.values()):
        if not exchange.over and not exchange.complete:
            exchange.reset()


def test_no_invocation_is_lost_or_runs_twice_while_connections_are_killed_drained_and_replaced(
    restate_server: RestateServer, identity_pem: Path
) -> None:
    async def test() -> None:
        async with deployed(restate_server, identity_pem) as deployment:
            ledgers = [str(uuid.uuid4()) for _ in range(5)]
            text = "x" * 300_000

            async def caller(number: int) -> None:
                ledger = ledgers[number % len(ledgers)]
                for turn in range(4):
                    entry = 4 * number + turn
                    assert await deployment.call(f"Ledger/{ledger}/book", entry) == entry
                    assert await deployment.call("Greeter/nap", 400 + entry) == 400 + entry
                    assert await deployment.call("Greeter/echo", text) == text

            callers = [asyncio.ensure_future(caller(number)) for number in range(25)]
            everything = asyncio.gather(*callers)
            harm = itertools.cycle([_kill, _drain, _goaway, _half])
            done: Counter[str] = Counter()
            # At least once each, however fast the machine is; and never so often that nothing gets through.
            while not everything.done() and sum(done.values()) < 24:
                await asyncio.sleep(0.2)
                lines = deployment.lines()
                if len(lines) == CONNECTIONS:
                    action = next(harm)
                    done[action.__name__] += 1
                    await action(lines[0])
            await everything
            assert len(done) == 4
            for index, ledger in enumerate(ledgers):
                expected = [4 * number + turn for number in range(25) if number % 5 == index for turn in range(4)]
                assert sorted(await deployment.call(f"Ledger/{ledger}/entries")) == sorted(expected)
            await until(lambda: len(deployment.lines()) == CONNECTIONS)
            assert deployment.tunnel.endings[EndingKind.RETRY] == done["_kill"]
            await until(lambda: deployment.tunnel.endings[EndingKind.DRAINED] == done["_drain"] + done["_goaway"])
            assert len(deployment.public.forwarded) > CONNECTIONS

    run(test())


def test_a_nap_outlives_every_connection_there_was(restate_server: RestateServer, identity_pem: Path) -> None:
    async def test() -> None:
        async with deployed(restate_server, identity_pem) as deployment:
            nap = asyncio.ensure_future(deployment.call("Greeter/nap", 3000))
            await until(lambda: sum(deployment.public.forwarded.values()) >= 2)
            for line in list(deployment.cloud.lines):
                line.kill()
            assert await nap == 3000
            assert all(line.lost for line in deployment.cloud.lines[:CONNECTIONS])

    run(test())


def test_forged_requests_that_come_through_the_tunnel_are_refused(
    restate_server: RestateServer, identity_pem: Path
) -> None:
    async def test() -> None:
        async with deployed(restate_server, identity_pem) as deployment:
            forger = RequestSigner.generate()
            url = f"{deployment.public.deployment_url}invoke/Greeter/greet"
            async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=30) as client:
                assert (await client.post(url)).status_code == 401
                assert (await client.post(url, headers=forger.headers("/invoke/Greeter/greet"))).status_code == 401
                genuine = RequestSigner.from_pem(identity_pem).headers("/discover")
                discovery = url.replace("invoke/Greeter/greet", "discover")
                accept = {"accept": "application/vnd.restate.endpointmanifest.v3+json"}
                assert (await client.get(discovery, headers={**genuine, **accept})).status_code == 200

    run(test())
