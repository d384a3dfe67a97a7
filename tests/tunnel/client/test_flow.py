"""Both bodies flow through the client with back-pressure: neither side can make it hoard."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Mapping

import pytest
from h2.settings import SettingCodes

from restate_identity.tunnel.client import Limits
from restate_identity.tunnel.client.request_body import RequestBody
from tests.support.servers import hypercorn, serve, uvicorn
from tests.tunnel.client import few_requests
from tests.tunnel.client.clients import HTTP1, forwarding, opened, sent
from tests.tunnel.client.http1_target import Http1Target, Peer
from tests.tunnel.client.http2_target import Http2Target
from tests.tunnel.cloud import Exchange
from tests.tunnel.dialling import until

MEBIBYTE = 2**20
FEW = few_requests.keep_alive_max_requests
# Of a stream to a target.
WINDOW = 128 * 1024


async def stalled(count: list[int]) -> int:
    """Wait until what is counted grows no more, and return it."""
    last = -1
    while count[0] != last:
        last = count[0]
        await asyncio.sleep(0.1)
    return last


async def test_a_target_that_does_not_read_stops_the_server_and_nobody_else() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        target.hold = True
        await line.until(lambda: line.settings_known)
        exchange = opened(line, target.origin)
        sending = asyncio.ensure_future(exchange.send(b"x" * 3 * MEBIBYTE, end=True))
        served = await target.request()
        await line.until(lambda: exchange.sendable() == 0)
        assert len(served.body) == 65_535
        target.hold = False
        other = opened(line, target.origin, end=True)
        (await target.request(1)).answer()
        assert (await other.whole()).body == b"done"
        assert not sending.done()
        served.read_on()
        await sending
        await until(lambda: served.complete)
        assert len(served.body) == 3 * MEBIBYTE
        served.answer()


async def test_a_server_that_does_not_read_stops_the_target_and_nobody_else() -> None:
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 2 * 65_535}
    async with Http2Target() as target, forwarding(target.origin, cloud={"settings": settings}) as (_, line):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        exchange = opened(line, target.origin, end=True)
        exchange.hold = True
        served = await target.request()
        served.respond(200)
        count = [0]

        async def send() -> None:
            while True:
                if (room := min(served.window(), 16_384)) > 0:
                    served.send(b"x" * room)
                    count[0] += room
                await asyncio.sleep(0 if room > 0 else 0.01)

        sending = asyncio.ensure_future(send())
        await line.until(lambda: exchange.total == 2 * 65_535)
        # What is being sent, and what waits behind it.
        assert await stalled(count) <= 2 * WINDOW + 2 * 65_535
        other = opened(line, target.origin, end=True)
        (await target.request(1)).answer()
        assert (await other.whole()).body == b"done"
        sending.cancel()
        exchange.reset()
        await until(lambda: served.reset_code is not None)


async def test_many_responses_that_nobody_reads_do_not_hold_up_another_one_on_their_connection() -> None:
    async with Http2Target() as target, forwarding(target.origin, limits=Limits(streams=100)) as (_, line):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        exchanges = [opened(line, target.origin, end=True) for _ in range(60)]
        for exchange in exchanges:
            exchange.hold = True
        await target.request(59)
        for served in target.served:
            served.respond(200)
        for _ in range(100):
            for served in target.served:
                if (room := min(served.window(), 16_384)) > 0:
                    served.send(b"x" * room)
            await asyncio.sleep(0)
        await line.until(lambda: all(exchange.total == 65_535 for exchange in exchanges))
        for _ in range(20):
            for served in target.served:
                if (room := min(served.window(), 16_384)) > 0:
                    served.send(b"x" * room)
            await asyncio.sleep(0.01)
        assert len(target.ends) == 1
        other = opened(line, target.origin, end=True)
        (await target.request(60)).answer(b"y" * 60_000)
        assert len((await other.whole()).body) == 60_000
        for exchange in exchanges:
            exchange.reset()


async def test_over_http_1_1_a_target_that_does_not_read_stops_the_server() -> None:
    gate = asyncio.Event()
    got: list[int] = []

    async def slow(peer: Peer) -> None:
        head = await peer.head()
        await gate.wait()
        got.append(len(await peer.body(head)))
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await peer.head()

    body = b"x" * 24 * MEBIBYTE
    async with Http1Target(slow) as target, forwarding(target.origin) as (_, line):
        await line.until(lambda: line.settings_known)
        exchange = opened(line, target.origin, HTTP1)
        sending = asyncio.ensure_future(exchange.send(body, end=True))
        await line.until(lambda: exchange.sendable() == 0)
        assert not sending.done()
        gate.set()
        await sending
        assert (await exchange.whole()).body == b"ok"
        assert got == [len(body)]


async def test_over_http_1_1_a_server_that_does_not_read_stops_the_target() -> None:
    count = [0]
    part = b"x" * 65_536
    total = 24 * MEBIBYTE

    async def fast(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while count[0] < total:
            peer.send(part)
            count[0] += len(part)
            await peer.writer.drain()
        await peer.head()

    async with Http1Target(fast) as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, HTTP1, end=True)
        exchange.hold = True
        await line.until(lambda: exchange.total == 65_535)
        # What the kernel buffers on loopback counts, too.
        assert await stalled(count) < total
        exchange.hold = False
        assert sum([len(part) async for part in exchange.parts()]) == total


@pytest.mark.parametrize("headers", [HTTP1, {}], ids=["HTTP/1.1", "HTTP/2"])
async def test_a_mistake_of_ours_in_passing_a_body_on_ends_that_request_and_is_logged(
    headers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def mistaken(_: RequestBody) -> bytes:
        raise RuntimeError("a mistake of ours")

    async def silent(peer: Peer) -> None:
        while await peer.head():
            pass

    monkeypatch.setattr(RequestBody, "_next", mistaken)
    async with Http1Target(silent) if headers else Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, headers)
        assert (await exchange.whole()).status == 502
    assert "the body of a request could not be passed on" in caplog.text


@pytest.fixture(scope="module", params=["hypercorn", "uvicorn"])
def echoing(request: pytest.FixtureRequest) -> object:
    """A real server that answers with what was sent, as it comes, and how to speak with it."""
    command = {"hypercorn": hypercorn, "uvicorn": uvicorn}[request.param]
    with serve(*command("tests.tunnel.echoing:echo")) as server:
        yield f"http://127.0.0.1:{server.port}", HTTP1 if request.param == "uvicorn" else {}


async def test_a_real_server_echoes_while_it_is_sent_to(echoing: tuple[str, Mapping[str, str]]) -> None:
    origin, headers = echoing
    async with forwarding(origin) as (_, line):
        exchange = opened(line, origin, headers)
        assert (await exchange.response())["x-path"] == "/invoke/Greeter/echo"
        for word in (b"one", b"two"):
            await exchange.send(word)
            assert await exchange.read() == word
        exchange.end()
        assert await exchange.read() == b""


async def test_large_bodies_and_many_streams_pass_through_a_real_server(
    echoing: tuple[str, Mapping[str, str]],
) -> None:
    origin, headers = echoing
    body = bytes(range(256)) * 4096 * 4

    async def echoed(exchange: Exchange) -> bytes:
        sending = asyncio.ensure_future(exchange.send(body, end=True))
        response = await exchange.whole()
        await sending
        return response.body

    async with forwarding(origin) as (client, line):
        bodies = [b"%d" % number * 500 for number in range(60)]
        responses = await asyncio.gather(*(sent(line, origin, headers, body=small) for small in bodies))
        assert [response.body for response in responses] == bodies
        assert all([(await echoed(opened(line, origin, headers))) == body for _ in range(2)])
        assert client.counters.requests == {200: 62}
        assert client.counters.failures == 0


async def test_a_server_that_ends_its_connections_after_some_requests_loses_none() -> None:
    with serve(*hypercorn("tests.tunnel.echoing:echo", "--config=python:tests.tunnel.client.few_requests")) as server:
        origin = f"http://127.0.0.1:{server.port}"
        async with forwarding(origin, limits=Limits(requests=FEW)) as (client, line):
            for _ in range(3):
                responses = await asyncio.gather(*(sent(line, origin, body=b"x") for _ in range(2 * FEW)))
                assert {response.status for response in responses} == {200}
            assert client.counters.failures == 0


async def test_a_connection_without_requests_holds_little() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (client, line):
        tracemalloc.start()
        try:
            for round_ in range(2):
                for _ in range(20):
                    exchange = opened(line, target.origin)
                    await exchange.send(b"x" * 20_000, end=True)
                    served = await target.request(len(target.served))
                    served.respond(200)
                    served.send(b"y" * 10_000, end=True)
                    await exchange.whole()
                target.served.clear()
                target.by_stream.clear()
                line.exchanges.clear()
                if round_ == 0:
                    before = tracemalloc.take_snapshot()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        grown = sum(
            difference.size_diff
            for difference in after.compare_to(before, "filename")
            if "restate_identity" in difference.traceback[0].filename
        )
        assert grown < 20_000
        assert client.pool.connections == 1
