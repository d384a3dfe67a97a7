"""Nothing is lost: requests come at a steady rate while connections are drained or DNS fails, and all are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from restate_identity.tunnel import Tunnel
from tests.tunnel.cloud import Cloud, Line, tls_pair
from tests.tunnel.dialling import until
from tests.tunnel.name_server import RECORD, NameServer
from tests.tunnel.traffic import Traffic
from tests.tunnel.tunnels import SOON, STEADY, opened


def slow_after_the_first(seconds: float) -> Callable[[Line], Awaitable[None]]:
    """Return a script that accepts the first connection at once, and every other one after so many seconds."""
    dialled: list[Line] = []

    async def script(line: Line) -> None:
        dialled.append(line)
        if len(dialled) > 1:
            await asyncio.sleep(seconds)
        await line.handshake()

    return script


@asynccontextmanager
async def under_traffic(script: Callable[[Line], Awaitable[None]]) -> AsyncIterator[tuple[Cloud, Tunnel, Traffic]]:
    """Give a cloud with this script, the tunnel to it, and requests at a steady rate, of which none may be lost."""
    async with Cloud(script) as cloud, opened(cloud, timings=STEADY) as tunnel, Traffic(cloud) as traffic:
        await tunnel.ready()
        traffic.lost.clear()
        yield cloud, tunnel, traffic
    assert traffic.lost == []


@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
async def test_a_drain_loses_nothing_however_slow_the_replacement_is(seconds: float) -> None:
    async with under_traffic(slow_after_the_first(seconds)) as (cloud, _, traffic):
        await traffic.more()
        await cloud.lines[0].drain()
        await (await cloud.line(1)).accepted()
        await traffic.more()
        cloud.lines[0].close()
        await traffic.more()


async def test_a_drain_loses_nothing_while_no_replacement_is_to_be_had() -> None:
    refusing = False

    async def script(line: Line) -> None:
        await line.handshake("too-many-tunnels" if refusing else "ok")

    async with under_traffic(script) as (cloud, tunnel, traffic):
        refusing = True
        await cloud.lines[0].drain()
        await asyncio.sleep(2)
        assert len(cloud.lines) > 5
        assert tunnel.is_serving
        refusing = False
        await cloud.until(lambda: any(line.in_use for line in cloud.lines[1:]))
        await traffic.more()


async def test_two_drains_at_once_lose_nothing() -> None:
    async with under_traffic(slow_after_the_first(0.1)) as (cloud, _, traffic):
        for index in range(2):
            line = await (await cloud.line(index)).accepted()
            await traffic.more()
            await line.drain()
        await (await cloud.line(2)).accepted()
        assert not any(line.lost for line in cloud.lines)
        await traffic.more()
    assert len(cloud.lines) == 3


@pytest.mark.parametrize("everything", [True, False], ids=["the zone", "the record"])
async def test_dns_that_denies_the_record_for_a_while_loses_nothing(everything: bool) -> None:
    tls = tls_pair()
    async with NameServer(a="127.0.0.1") as names, Cloud(tls=tls.cloud) as cloud:
        names.serve(("a", cloud.port))
        async with (
            opened(source=names.resolver(), tls=tls.tunnel, timings=replace(SOON, resolve_every=0.02)) as tunnel,
            Traffic(cloud) as traffic,
        ):
            await tunnel.ready()
            traffic.lost.clear()
            records = dict(names.records)
            if everything:
                names.records.clear()
            else:
                del names.records[RECORD, "SRV"]
            asked = names.asked
            await until(lambda: names.asked > asked + 10)
            names.records.update(records)
            await traffic.more()
        assert traffic.lost == []
        assert len(cloud.lines) == 1
