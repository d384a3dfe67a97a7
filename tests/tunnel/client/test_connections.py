"""Which connection to a target a request gets, and what happens when connections come and go."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from restate_identity.tunnel.client import Limits
from restate_identity.tunnel.client.connector import Connector
from restate_identity.tunnel.client.exchange import ExchangeError, RequestHead, Version
from restate_identity.tunnel.client.http2_connection import Http2Connection
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.timings import TunnelTimings
from tests.support.processes import free_port
from tests.tunnel.client.clients import forwarding, opened, sent
from tests.tunnel.client.http1_target import Http1Target, Peer
from tests.tunnel.client.http2_target import Http2Target, Served, TargetEnd
from tests.tunnel.cloud import Exchange, Line, PlainEncoder, tls_pair
from tests.tunnel.dialling import until
from tests.tunnel.tunnels import PATH

MEBIBYTE = 2**20
HEAD = RequestHead(b"POST", b"/", b"127.0.0.1", [], ended=False)
# Answers each request with a mebibyte. Its connections have the limit of 10 MB that is Node's default.
NODE_SERVICE = """
const http2 = require("http2"), body = Buffer.alloc(2 ** 20);
const server = http2.createServer((request, response) => request.resume().on("end", () => response.end(body)));
server.listen(Number(process.argv[1]), "127.0.0.1", () => console.log("listening"));
"""


def echoing(served: Served) -> None:
    served.respond(200)
    served.send(bytes(served.body), end=True)


def peer_of(found: socket.socket) -> object:
    try:
        return found.getpeername()
    except OSError:
        return None


def spread(target: Http2Target) -> list[int]:
    """Return how many requests each connection has had."""
    return sorted(Counter(served.end for served in target.served).values())


async def test_requests_that_come_at_once_are_spread_over_connections() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (client, line):
        exchanges = [opened(line, target.origin, end=True) for _ in range(50)]
        await target.request(49)
        assert spread(target) == [2, *[8] * 6]
        for served in target.served:
            served.answer()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}
        assert client.pool.connections == 7


async def test_a_burst_to_nodes_http2_is_answered_whole() -> None:
    port = free_port()
    command = ["node", "-e", NODE_SERVICE, "--", str(port)]
    service = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert service.stdout is not None
        await service.stdout.readline()
        origin = f"http://127.0.0.1:{port}"
        windows = {SettingCodes.INITIAL_WINDOW_SIZE: 2**20}
        async with forwarding(origin, cloud={"settings": windows}) as (_, line):
            line.h2.increment_flow_control_window(2**30)
            line.flush()
            exchanges = [opened(line, origin, end=True) for _ in range(50)]
            responses = await asyncio.gather(*(exchange.whole() for exchange in exchanges))
            assert {(response.status, len(response.body)) for response in responses} == {(200, 2**20)}
    finally:
        service.terminate()
        await service.wait()


async def test_an_instance_that_shuts_down_as_it_accepts_costs_no_request() -> None:
    def shut_down(end: TargetEnd) -> None:
        if len(target.ends) == 1:
            end.goaway(last=0)

    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (client, line):
        target.on_connection = shut_down
        responses = await asyncio.gather(*(sent(line, target.origin) for _ in range(10)))
        assert {response.status for response in responses} == {200}
        assert client.counters.failures == 0


@pytest.mark.parametrize("before", [0, 1])
async def test_a_connection_that_refuses_twice_is_left_for_one_that_may_not(before: int) -> None:
    def answer(served: Served) -> None:
        if served.end is target.ends[0] and len(target.served) > before:
            served.reset(ErrorCodes.REFUSED_STREAM)
        else:
            served.answer()

    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        target.on_complete = answer
        for _ in range(before + 1):
            assert (await sent(line, target.origin)).status == 200
        assert (len(target.served), len(target.ends)) == (before + 3, 2)
        await until(lambda: target.ends[0].lost)


@pytest.mark.parametrize("garbage", [b"\x15\x03\x03\0\x02\x02\x50", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_an_address_with_broken_tls_leaves_the_turn_to_the_next_one(garbage: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(garbage)
        writer.close()

    async def resolve(_: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    tls = tls_pair(name="greeter.test")
    async with Http2Target(on_complete=echoing, tls=tls.cloud) as target:
        server = await asyncio.start_server(broken, "127.0.0.2", target.port)
        targets = [f"https://{host}:{target.port}" for host in ("greeter.test", "127.0.0.1", "127.0.0.2")]
        async with forwarding(*targets, resolve=resolve, target_tls=lambda: tls.tunnel) as (_, line):
            assert (await sent(line, targets[0])).status == 200
        server.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_that_says_nothing_leaves_time_for_the_next_one_and_is_closed(scheme: str) -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        closed.set()
        writer.close()

    async def resolve(_: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    tls = tls_pair(name="greeter.test")
    async with Http2Target(on_complete=echoing, tls=tls.cloud if scheme == "https" else None) as target:
        server = await asyncio.start_server(silent, "127.0.0.2", target.port)
        targets = [f"{scheme}://{host}:{target.port}" for host in ("greeter.test", "127.0.0.1", "127.0.0.2")]
        settings = {"limits": Limits(connect=1.0), "target_tls": lambda: tls.tunnel, "resolve": resolve}
        async with forwarding(*targets, **settings) as (_, line):  # type: ignore[arg-type]
            assert (await sent(line, targets[0])).status == 200
            await asyncio.wait_for(closed.wait(), 20)
        server.close()


async def test_an_address_behind_many_that_say_nothing_is_reached() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def resolve(_: str) -> list[str]:
        return [*6 * ["127.0.0.2"], "127.0.0.1"]

    async with Http2Target(on_complete=echoing) as target:
        server = await asyncio.start_server(silent, "127.0.0.2", target.port)
        targets = [f"http://{host}:{target.port}" for host in ("greeter.test", "127.0.0.1", "127.0.0.2")]
        async with forwarding(*targets, resolve=resolve, limits=Limits(connect=3)) as (_, line):
            assert (await sent(line, targets[0])).status == 200
        server.close()


async def test_the_kernel_asks_whether_a_target_that_sends_nothing_is_still_there() -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin)).status == 200
        sockets = [found for found in gc.get_objects() if type(found) is socket.socket]
        (ours,) = (found for found in sockets if peer_of(found) == ("127.0.0.1", target.port))
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_a_name_with_many_addresses_leaves_each_the_time_to_greet() -> None:
    async def many(host: str) -> list[str]:  # noqa: ARG001 (the interface of a resolver)
        return 60 * ["127.0.0.1"]

    async with Http2Target(on_complete=echoing) as target:
        target.late = 0.2
        origin = f"http://localhost:{target.port}"
        async with forwarding(origin, resolve=many) as (_, line):
            assert (await sent(line, origin)).status == 200
        assert len(target.ends) == 1


async def test_authorities_that_could_not_be_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pair = tls_pair(name="127.0.0.1")
    file = tmp_path / "authority.pem"
    # A missing file is to OpenSSL what one is that it may not open for want of a descriptor.
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with Http2Target(tls=pair.cloud, on_complete=echoing) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin)).status == 502
        assert "cannot prove that it is 127.0.0.1" in caplog.text
        file.write_bytes(pair.authority)
        assert (await sent(line, target.origin)).status == 200


async def test_a_connection_that_refuses_now_and_then_is_kept() -> None:
    def answer(served: Served) -> None:
        if len(target.served) % 2:
            served.reset(ErrorCodes.REFUSED_STREAM)
        else:
            served.answer()

    async with Http2Target(on_complete=answer) as target, forwarding(target.origin) as (_, line):
        for _ in range(3):
            assert (await sent(line, target.origin)).status == 200
        assert len(target.ends) == 1


@asynccontextmanager
async def balancing(ports: list[int]) -> AsyncIterator[int]:
    """Give the port of a balancer that leads each new connection to the first of *ports*."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", ports[0])
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_instances_of_one_origin_may_speak_different_versions_of_http() -> None:
    gate = asyncio.Event()

    async def one_at_a_time(peer: Peer) -> None:
        while head := await peer.head():
            if b"held" in head:
                await gate.wait()
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold")

    tls, old_tls = tls_pair(name="127.0.0.1"), tls_pair(name="127.0.0.1", alpn=["http/1.1"])
    tls.tunnel.load_verify_locations(cadata=old_tls.authority.decode())
    async with (
        Http2Target(on_complete=lambda served: served.answer(b"new"), tls=tls.cloud) as new,
        Http1Target(one_at_a_time, tls=old_tls.cloud) as old,
        balancing(ports := [old.port]) as port,
        forwarding(origin := f"https://127.0.0.1:{port}", target_tls=lambda: tls.tunnel) as (_, line),
    ):
        first = opened(line, origin, path=f"{PATH}?held", end=True)
        await until(lambda: len(old.heads) == 1)
        ports[:] = [new.port]
        assert (await sent(line, origin)).body == b"new"
        gate.set()
        assert (await first.whole()).body == b"old"
        gate.clear()
        other = opened(line, origin, path=f"{PATH}?held", end=True)
        await until(lambda: len(old.heads) + len(new.served) == 3)
        ports[:] = [old.port]
        new.ends[0].goaway(last=2**31 - 1)
        await until(lambda: new.ends[0].lost)
        held = [opened(line, origin, path=f"{PATH}?held", end=True) for _ in range(3)]
        await until(lambda: len(old.heads) >= 4)
        gate.set()
        assert [(await exchange.whole()).body for exchange in [other, *held]] == [b"new", *[b"old"] * 3]
        assert len(old.peers) == 3


async def test_a_target_that_allows_few_streams_gets_no_more_and_nobody_is_lost() -> None:
    most, running = 0, 0

    def begin(_: Served) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)

    def end(served: Served) -> None:
        nonlocal running
        running -= 1
        served.answer()

    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 3}
    async with (
        Http2Target(settings=settings, on_request=begin, on_complete=end) as target,
        forwarding(target.origin, limits=Limits(connections=1)) as (_, line),
    ):
        responses = await asyncio.gather(*(sent(line, target.origin, body=b"x" * 20_000) for _ in range(20)))
        assert {response.status for response in responses} == {200}
        assert (len(target.ends), most) == (1, 3)


async def test_connections_are_used_again_and_another_one_is_opened_when_all_are_busy() -> None:
    async with Http2Target() as target, forwarding(target.origin, limits=Limits(streams=2)) as (client, line):
        for _ in range(3):
            exchange = opened(line, target.origin, end=True)
            (await target.request(len(target.served))).answer()
            await exchange.whole()
        assert len(target.ends) == 1
        exchanges = [opened(line, target.origin, end=True) for _ in range(3)]
        await target.request(5)
        await until(lambda: len(target.ends) == 2)
        exchanges.append(opened(line, target.origin, end=True))
        for served in [*target.served[3:], await target.request(6)]:
            served.answer()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}
        assert client.pool.connections == 2


async def test_after_enough_requests_another_connection_takes_over_and_those_in_flight_finish() -> None:
    async with Http2Target() as target, forwarding(target.origin, limits=Limits(requests=3)) as (_, line):
        exchanges = [opened(line, target.origin, end=True) for _ in range(7)]
        await target.request(6)
        assert len(target.ends) == 3
        assert not any(end.lost for end in target.ends)
        for served in target.served:
            served.answer()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}
        await until(lambda: [end.lost for end in target.ends] == [True, True, False])


async def test_a_connection_that_nobody_uses_is_closed_with_a_goaway() -> None:
    async with (
        Http2Target(on_complete=echoing) as target,
        forwarding(target.origin, limits=Limits(idle=0.05)) as (
            client,
            line,
        ),
    ):
        held = opened(line, target.origin)
        served = await target.request()
        await asyncio.sleep(0.1)
        assert client.pool.connections == 1
        held.end()
        await held.whole()
        await until(lambda: target.ends[0].lost)
        assert (target.ends[0].goaways, client.pool.connections, served.complete) == (1, 0, True)
        # A signed request can name any number of hosts, so nothing is kept of one.
        assert not client.pool._groups
        assert (await sent(line, target.origin)).status == 200
        # One that never had a request, too.
        await Connector(Limits(idle=0.05)).connect(Origin("http", "127.0.0.1", target.port), Version.HTTP2)
        await until(lambda: len(target.ends) == 3 and target.ends[2].lost)


async def test_a_name_that_is_not_looked_up_in_time_fails_the_dial() -> None:
    async def hang(host: str) -> list[str]:
        await asyncio.Event().wait()
        return [host]

    connector = Connector(Limits(connect=0.05), resolve=hang)
    with pytest.raises(ExchangeError, match=r"^no connection within 0\.05 s$"):
        await asyncio.wait_for(connector.connect(Origin("http", "greeter", 80), Version.HTTP2), 20)


@pytest.mark.parametrize("version", [Version.HTTP1, Version.HTTP2])
async def test_a_dial_that_is_cancelled_at_any_moment_leaves_no_connection(version: Version) -> None:
    gone: list[Peer] = []

    async def keep(peer: Peer) -> None:
        if version is Version.HTTP2:
            peer.send(b"\0\0\0\x04\0\0\0\0\0")  # its settings
        try:
            await peer.reader.read()
        finally:
            gone.append(peer)

    connector = Connector(Limits(idle=600))
    async with Http1Target(keep) as target:
        for turns in itertools.count():
            connecting = asyncio.ensure_future(connector.connect(Origin("http", "127.0.0.1", target.port), version))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not connecting.cancel():
                break
            await asyncio.wait({connecting})
            assert connecting.cancelled(), turns
            await asyncio.sleep(0.01)
        assert turns > 5
        await connecting.result().gone(within=10)
        await until(lambda: len(gone) == len(target.peers))


async def test_goaway_moves_new_requests_to_another_connection_and_loses_none() -> None:
    async with Http2Target() as target, forwarding(target.origin, limits=Limits(idle=600)) as (_, line):
        first, second, third = (opened(line, target.origin, end=True) for _ in range(3))
        await target.request(2)
        # The third one was not processed: it is sent again elsewhere. The others go on.
        target.ends[0].goaway(last=target.served[1].stream_id)
        again = await target.request(3)
        assert len(target.ends) == 2
        again.answer(b"again")
        assert (await third.whole()).body == b"again"
        fourth = opened(line, target.origin, end=True)
        (await target.request(4)).answer(b"fourth")
        assert (await fourth.whole()).body == b"fourth"
        assert not target.ends[0].lost
        for exchange, served in zip((first, second), target.served, strict=False):
            served.answer(b"%d" % served.stream_id)
            assert (await exchange.whole()).body == b"%d" % served.stream_id
        await until(lambda: target.ends[0].lost)
        assert target.ends[0].goaways == 1
        assert len(target.ends) == 2


async def test_a_target_that_allows_more_streams_later_gets_what_waits() -> None:
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    limits = Limits(connections=1)
    async with Http2Target(settings=settings) as target, forwarding(target.origin, limits=limits) as (_, line):
        exchanges = [opened(line, target.origin, end=True) for _ in range(2)]
        await target.request()
        target.ends[0].h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        target.ends[0].flush()
        await target.request(1)
        for served in target.served:
            served.answer()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}


KEYS = 300


async def fill(line: Line, target: Http2Target) -> list[Exchange]:
    """Open requests with long keys, so many that some wait, to a target that does not read from its connection."""
    line.h2.encoder = PlainEncoder()
    await sent(line, target.origin)
    target.ends[0].transport.pause_reading()
    keys = [f"{number:05}".ljust(60_000, ".") for number in range(KEYS)]
    return [opened(line, target.origin, {"x-restate-key": key}, end=True) for key in keys]


def answer_without_key(served: Served) -> None:
    if "x-restate-key" not in served.headers:
        served.answer()


async def test_long_heads_wait_until_a_busy_target_reads_them_and_nobody_is_lost() -> None:
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1000}
    limits = Limits(connections=1)
    async with (
        Http2Target(settings=settings, on_complete=answer_without_key) as target,
        forwarding(target.origin, limits=limits) as (_, line),
    ):
        exchanges = await fill(line, target)
        await asyncio.sleep(1)

        def is_busy_again(served: Served) -> None:
            target.on_request = lambda _: None
            served.end.transport.pause_reading()

        target.on_request = is_busy_again
        target.ends[0].transport.resume_reading()
        await target.request(1)
        await asyncio.sleep(0.1)
        target.ends[0].transport.resume_reading()
        await target.request(KEYS)
        for served in target.served[1:]:
            served.answer()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}


@asynccontextmanager
async def unread_trailers(**options: Any) -> AsyncIterator[tuple[Http2Target, list[Exchange]]]:
    """Give a target that has stopped to read from its connection, and requests whose long trailers wait for that."""
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1000}
    limits = Limits(connections=1)
    async with (
        Http2Target(settings=settings, **options) as target,
        forwarding(target.origin, limits=limits) as (_, line),
    ):
        line.h2.encoder = PlainEncoder()
        # Nobody reads this one, and it uses up the window of the connection.
        target.hold = True
        neighbour = opened(line, target.origin)
        await neighbour.send(bytes(65_535))
        served = await target.request()
        await until(lambda: len(served.body) == 65_535)
        exchanges = [opened(line, target.origin) for _ in range(KEYS)]
        await target.request(KEYS)
        target.ends[0].transport.pause_reading()
        for number, exchange in enumerate(exchanges):
            exchange.trailers([("x-sum", f"{number:05}".ljust(60_000, "."))])
        await asyncio.sleep(0.5)
        yield target, exchanges
        target.ends[0].transport.abort()


async def test_long_trailers_wait_until_a_target_reads_them_and_for_no_neighbour() -> None:
    async with unread_trailers(on_complete=lambda served: served.answer()) as (target, exchanges):
        target.ends[0].transport.resume_reading()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}
        assert {len(served.trailers["x-sum"]) for served in target.served[1:]} == {60_000}


@pytest.mark.parametrize("how", ["reset", "lost"])
async def test_requests_that_a_target_gives_up_while_their_trailers_wait_are_answered(how: str) -> None:
    async with unread_trailers() as (target, exchanges):
        if how == "lost":
            target.ends[0].transport.abort()
        else:
            for served in target.served[1:]:
                served.reset()
        assert {(await exchange.whole()).status for exchange in exchanges} == {502}


async def test_a_connection_whose_target_does_not_read_gets_no_request_though_it_has_none() -> None:
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1000}
    limits = Limits(connections=2, streams=1000)
    async with (
        Http2Target(settings=settings, on_complete=answer_without_key) as target,
        forwarding(target.origin, limits=limits) as (_, line),
    ):
        exchanges = await fill(line, target)
        await until(lambda: len(target.ends) == 2)
        for exchange in exchanges:
            exchange.reset()
        assert (await sent(line, target.origin)).status == 200
        assert target.served[-1].end is target.ends[1]


async def test_a_response_that_is_complete_holds_no_place_at_the_target_though_nobody_reads_it() -> None:
    def answer(served: Served) -> None:
        served.respond()
        for ends in (False, True):
            served.send(bytes(60_000), end=ends)

    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    limits = Limits(connections=1)
    async with (
        Http2Target(settings=settings, on_complete=answer) as target,
        forwarding(target.origin, limits=limits) as (_, line),
    ):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        unread = opened(line, target.origin)
        unread.end()
        unread.hold = True
        await line.until(lambda: unread.total == 65_535)
        assert len((await sent(line, target.origin)).body) == 120_000
        unread.reset()


@pytest.mark.parametrize("stream_id", [2, 99])
async def test_a_target_that_answers_what_was_not_asked_loses_its_connection(stream_id: int) -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, end=True)
        for _ in range(2):
            opened(line, target.origin, end=True)
        await target.request(2)
        target.ends[0].raw_head(stream_id, "200")
        assert (await exchange.whole()).status == 502


@asynccontextmanager
async def connected(target: Http2Target, **timings: float) -> AsyncIterator[Http2Connection]:
    connector = Connector(Limits(), timings=TunnelTimings(**timings))  # type: ignore[arg-type]
    connection = await connector.connect(Origin("http", "127.0.0.1", target.port), Version.HTTP2)
    assert isinstance(connection, Http2Connection)
    yield connection
    await connection.gone(within=0.1)
    assert connection.protocol._closed.is_set()


async def test_a_target_that_gives_a_request_up_is_sent_no_more_of_it() -> None:
    async with Http2Target() as target, connected(target) as connection:
        exchange = connection.open(HEAD, "http")
        (await target.request()).reset(ErrorCodes.CANCEL)
        with pytest.raises(ExchangeError, match="reset the request"):
            await exchange.head()
        with pytest.raises(ExchangeError, match="reset the request"):
            await exchange.send(b"more")


async def test_a_target_that_does_not_answer_pings_has_vanished() -> None:
    async with Http2Target(settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**30}) as target:
        target.on_connection = lambda end: end.h2.increment_flow_control_window(2**30)
        for number, ping_answer in enumerate((5, 0.1)):
            async with connected(target, ping_every=0.05, ping_answer=ping_answer) as connection:
                await until(lambda end=target.ends[number]: end.pings > 3)  # type: ignore[misc]
                exchange = connection.open(HEAD, "http")
                await target.request(number)
                target.ends[number].transport.pause_reading()
                # More than the kernel takes, so that closing alone would wait.
                sending = asyncio.ensure_future(exchange.send(bytes(32 * MEBIBYTE)))
                if ping_answer < 1:
                    with pytest.raises(ExchangeError, match="did not answer 2 pings in a row"):
                        await exchange.head()
                    await asyncio.wait_for(connection.protocol._closed.wait(), 10)
                else:
                    await until(lambda output=connection.protocol.output: output.paused)  # type: ignore[misc]
            await sending


@pytest.mark.parametrize(
    ("length", "count", "size", "padding"),
    [([], 1, 30_000, None), ([("content-length", "1")], 1, 30_000, None), ([], 115, 1, 255)],
    ids=["given up", "too long", "padded"],
)
async def test_what_nobody_reads_of_responses_does_not_use_up_the_window_of_their_connection(
    length: list[tuple[str, str]], count: int, size: int, padding: int | None
) -> None:
    windows = {"stream_window": 65_535, "connection_window": 65_535}
    async with Http2Target() as target, connected(target, **windows) as connection:
        for number in range(3):
            exchange = connection.open(HEAD, "http")
            served = await target.request(number)
            await until(lambda served=served: served.window() > 30_000)  # type: ignore[misc]
            served.respond(200, length)
            for _ in range(count):
                served.end.h2.send_data(served.stream_id, bytes(size), pad_length=padding)
            served.end.flush()
            while not exchange._error and len(exchange._body) < count * size:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            exchange.cancel()
