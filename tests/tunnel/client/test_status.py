"""``/health`` says what is so now, and ``/metrics`` counts."""

from __future__ import annotations

import asyncio
import errno

import httpx
import pytest

from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.client.status import StatusServer
from tests.support.processes import free_port
from tests.tunnel.client.clients import forwarding
from tests.tunnel.tunnels import ONCE, STEADY


async def test_the_health_follows_the_connections() -> None:
    async with forwarding("http://greeter:9080", timings=STEADY) as (client, line), httpx.AsyncClient() as http:
        status = StatusServer(ServeAddress("127.0.0.1", port := free_port()))
        await status.start(client)
        url = f"http://127.0.0.1:{port}/health"

        answer = await http.get(url)
        (server,) = answer.json()["servers"]
        assert answer.json() == {"status": "serving", "servers": {server: {"opened": 1, "draining": 0, "attempts": 1}}}
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")

        await line.drain()
        while (await http.get(url)).json()["servers"][server] != {"opened": 1, "draining": 1, "attempts": 2}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        taken = StatusServer(ServeAddress("127.0.0.1", port))
        with pytest.raises(
            OSError, match=rf"cannot listen on 127\.0\.0\.1:{port} for the health: error while"
        ) as failure:
            await taken.start(client)
        assert failure.value.errno == errno.EADDRINUSE

        # It says so as long as the tunnel drains.
        drains = [asyncio.ensure_future(each.drain(0)) for each in (status, taken)]
        await asyncio.sleep(0)
        assert (await http.get(url)).status_code == 200
        assert (await http.get(url.replace("health", "metrics"))).status_code == 404
        await client.aclose()
        await asyncio.gather(*drains)
        with pytest.raises(httpx.ConnectError):
            await http.get(url)
    await StatusServer(ServeAddress("127.0.0.1", port)).drain(0)


async def test_without_a_connection_the_health_is_bad() -> None:
    async with forwarding("http://greeter:9080", timings=ONCE) as (client, line), httpx.AsyncClient() as http:
        status = StatusServer(ServeAddress("127.0.0.1", port := free_port()))
        await status.start(client)
        line.kill()
        while (answer := await http.get(f"http://127.0.0.1:{port}/health")).status_code != 503:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (state,) = answer.json()["servers"].values()
        assert state == {"opened": 0, "draining": 0, "attempts": 1}
        await client.aclose()
        answer = await http.get(f"http://127.0.0.1:{port}/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "not serving", "servers": {}})
        await status.drain(0)
