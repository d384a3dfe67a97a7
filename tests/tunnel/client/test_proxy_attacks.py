"""What a smuggler and a slow caller may try with the remote proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from restate_identity.tunnel.client.exchange import ExchangeError, Version
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.proxies import http1_side, http2_side
from restate_identity.tunnel.client.proxies.patience import Patience
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.client.remote import Remote, exchanging, proxied

_HEADS = (h2.events.ResponseReceived, h2.events.InformationalResponseReceived)
HASTY = Patience(head=0.1, stall=0.2, idle=0.2, check_every=0.02)

# The requests, and the status that they get; nothing of them reaches the cloud.
SMUGGLED = {
    "a length beside chunks": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5", 400),
    "a length with a sign": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4", 400),
    "a list of lengths": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4, 5", 400),
    "another coding": (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked", 501),
    "two codings": (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity", 501),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked", 400),
    "a space before the colon": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 4", 400),
    "a carriage return": (b"GET / HTTP/1.1\r\nhost: a\r\nx: 1\rauthorization: x", 400),
    "a null byte": (b"GET / HTTP/1.1\r\nhost: a\r\nx: 1\x002", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b", 400),
    "no host": (b"GET / HTTP/1.1\r\nx: 1", 400),
    "no host in HTTP/1.0": (b"GET / HTTP/1.0\r\nx: 1", 400),
    "an absolute target": (b"GET http://evil.test/ HTTP/1.1\r\nhost: localhost", 400),
    "no path": (b"GET evil.test HTTP/1.1\r\nhost: localhost", 400),
    "a star for another method": (b"GET * HTTP/1.1\r\nhost: localhost", 400),
    "a tunnel": (b"CONNECT evil.test:443 HTTP/1.1\r\nhost: localhost", 405),
    "an echo of the API key": (b"TRACE / HTTP/1.1\r\nhost: localhost", 405),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nhost: localhost", 400),
    "a byte beyond ASCII": (b"GET /\xff HTTP/1.1\r\nhost: localhost", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "another version": (b"GET / HTTP/3.0\r\nhost: localhost", 505),
    "a rebound name": (b"GET / HTTP/1.1\r\nhost: evil.test", 421),
    "a rebound name for HEAD": (b"HEAD / HTTP/1.1\r\nhost: evil.test", 421),
    "a foreign page": (b"POST / HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.test\r\ncontent-length: 0", 403),
    "a large head": (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"1" * 70_000, 431),
}


# The body that one reader sees, and the request that another one does.
SECOND = b"\r\nconnection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def test_what_could_be_read_in_two_ways_does_not_pass(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with proxied(tmp_path) as remote:
        for name, (head, status) in SMUGGLED.items():
            answer = await remote.raw(head + SECOND)
            assert answer.startswith(b"HTTP/1.1 %d " % status), (name, answer)
            assert answer.count(b"HTTP/1.1") == 1, (name, answer)
            assert answer.endswith(b"\r\n\r\n") or not head.startswith(b"HEAD"), (name, answer)
            if status in (403, 405, 421):
                assert b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: " in answer
        assert remote.api.seen == []
        # The rest was refused before there was a request.
        assert remote.proxy.refused == {"malformed": 4, "method": 2, "host": 2, "origin": 1}
        assert remote.proxy.counters.requests == {400: 4, 405: 2, 421: 2, 403: 1}
        assert "a remote proxy refused a request: a request must have exactly one host" in caplog.text


FIELDS = {":method": "GET", ":scheme": "http", ":path": "/"}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({":authority": "localhost"}, "201"),
        ({":authority": "localhost", "host": "localhost"}, "201"),
        ({":authority": "localhost", "expect": "100-continue"}, "100"),
        ({":authority": "localhost", "host": "evil.test"}, "400"),
        ({":authority": "evil.test", "host": "localhost"}, "400"),
        ({":authority": "evil.test"}, "421"),
        ({}, "400"),
        ({":authority": "localhost", ":path": "http://evil.test/"}, "400"),
        ({":authority": "localhost", ":path": "/a b"}, "400"),
        ({":authority": "localhost", ":path": "/a\r\nb"}, "400"),
        ({":authority": "localhost", ":method": "CONNECT"}, "405"),
        ({":authority": "localhost", "connection": "close"}, "400"),
        ({":authority": "localhost", "content-length": "5"}, "400"),
        ({":authority": "localhost", "x": "1\r\nauthorization: y"}, "400"),
        ({":authority": "localhost", "origin": "https://evil.test"}, "403"),
        ({":authority": "localhost", **{f"x{number}": "1" * 1000 for number in range(70)}}, "431"),
    ],
)
async def test_the_same_over_http_2(tmp_path: Path, fields: dict[str, str], status: str) -> None:
    async with proxied(tmp_path) as remote:
        assert await over_http2(remote, {**FIELDS, **fields}) == status
        if status != "100":  # then the caller is gone before the cloud has answered
            assert len(remote.api.seen) == (status == "201")


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_malformed_chunk_gives_the_request_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_answered: bool
) -> None:
    monkeypatch.setattr(http1_side, "_LINGER", 600)
    path = b"echo" if is_answered else b"held"
    async with proxied(tmp_path) as remote:
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"POST /%s HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" % path)
        writer.write(b"2\r\nab\r\n")
        await remote.until(lambda: bool(remote.api.seen))
        if is_answered:
            await reader.readuntil(b"ab\r\n")
        writer.write(b"no chunk\r\n" + SECOND)
        answer = b""
        with suppress(ConnectionResetError):
            answer = await asyncio.wait_for(reader.read(), 10)
        assert answer == (b"" if is_answered else b"HTTP/1.1 400 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await remote.until(lambda: remote.api.gone == 1)
        assert len(remote.api.seen) == 1
        writer.close()


async def test_a_caller_that_violates_http_2_is_hung_up_on(tmp_path: Path) -> None:
    resets_what_there_is_not = b"\0\0\4\3\0\0\0\0\1\0\0\0\0"
    async with proxied(tmp_path) as remote:
        said = await remote.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + resets_what_there_is_not)
    assert said[-8:] == bytes(7) + b"\1"  # a GOAWAY: no request was served, PROTOCOL_ERROR


def asking(fields: Mapping[str, str], window: int) -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
        )
    )
    connection.initiate_connection()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
    connection.increment_flow_control_window(2**20)
    connection.send_headers(1, sorted(fields.items(), key=lambda field: field[0][0] != ":"), end_stream=True)
    return connection


async def over_http2(remote: Remote, fields: Mapping[str, str], *, window: int = 65_535) -> str:
    """Send a request without a body, and return the first status of the answer; without a window, how it is reset."""
    connection = asking(fields, window)
    reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
    data = connection.data_to_send()
    writer.write(data[:10])
    await remote.until(lambda: any(getattr(side, "_first", b"") for side in remote.listener._sides))
    writer.write(data[10:])
    try:
        while True:
            for event in connection.receive_data(await asyncio.wait_for(reader.read(65536), 30)):
                if isinstance(event, h2.events.StreamReset):
                    return f"reset {event.error_code}"
                if window and isinstance(event, _HEADS):
                    return next(str(value) for name, value in event.headers or () if str(name) == ":status")
            writer.write(connection.data_to_send())
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"", ["head"]),
        (b"GET / HTTP/1.1\r\nhost: local", ["head"]),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET /half", ["head"]),
        (b"PRI * HTTP/2.0\r\n", ["head"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ["idle"]),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", ["idle"]),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhalf", ["stall"]),
    ],
    ids=["nothing", "half a head", "half a second head", "half a preface", "a preface", "an idle one", "half a body"],
)
async def test_a_caller_that_falls_silent_is_not_waited_for(
    tmp_path: Path, data: bytes, limits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_side, "TIMINGS", replace(http2_side.TIMINGS, farewell=0.1))
    short: dict[str, Any] = dict.fromkeys(limits, 0.1)
    patience = Patience(check_every=0.02, **short)
    async with proxied(tmp_path, patience=patience) as remote:
        with suppress(ConnectionResetError):
            await remote.raw(data)  # it ends, because the proxy ends the connection
        await remote.until(lambda: not remote.listener.connections)
        assert remote.proxy.refused["slow"] == (0 if "idle" in limits else 1)


@pytest.mark.parametrize("version", [Version.HTTP1, Version.HTTP2])
async def test_a_caller_that_sends_no_more_of_a_body_is_given_up(tmp_path: Path, version: Version) -> None:
    patience = replace(HASTY, idle=600)
    async with proxied(tmp_path, patience=patience) as remote, exchanging(remote, version, "/") as exchange:
        await exchange.send(b"half")
        with pytest.raises(ExchangeError) as given_up:
            await exchange.head()
        if version is Version.HTTP2:
            assert given_up.value.code == ErrorCodes.CANCEL
        await remote.until(lambda: remote.api.gone == 1)
        assert remote.proxy.refused["slow"] == 1


@pytest.mark.parametrize("version", [Version.HTTP1, Version.HTTP2])
async def test_a_caller_is_given_up_when_its_connection_is_idle_and_not_while_it_waits(
    tmp_path: Path, version: Version
) -> None:
    async with proxied(tmp_path, patience=HASTY) as remote, exchanging(remote, version, "/held") as exchange:
        await exchange.send(b"", end=True)
        await remote.until(lambda: bool(remote.api.bodies))
        await asyncio.sleep(3 * HASTY.stall)
        remote.api.release.set()
        assert (await exchange.head()).status == 201
        while not (await exchange.read())[1]:
            pass
        await remote.until(lambda: not remote.listener.connections)
        assert remote.proxy.refused == {}


async def test_when_there_is_no_room_the_longest_idle_connection_makes_it(tmp_path: Path) -> None:
    request = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n\r\n"
    # Far from its limits in time, none is closed for another reason.
    async with proxied(tmp_path, patience=Patience(connections=3, stall=1000)) as remote:
        ends = [await asyncio.open_connection("127.0.0.1", remote.port) for _ in range(3)]
        await remote.until(lambda: remote.listener.connections == 3)
        remote.listener._check()
        (busy, to_busy), (oldest, to_oldest), (newer, to_newer) = ends
        to_busy.write(request % b"held")
        await remote.until(lambda: bool(remote.api.bodies))
        for reader, writer in ((oldest, to_oldest), (newer, to_newer)):
            writer.write(request % b"")
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 201")
        remote.listener._check()
        assert (await remote.raw(request % b"", until=b"0\r\n\r\n")).startswith(b"HTTP/1.1 201")
        assert await oldest.read() == b""
        remote.api.release.set()
        to_newer.write(request % b"")
        for reader in (newer, busy):
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 201")
        for _, writer in ends:
            writer.close()


async def test_two_connections_that_arrive_at_once_take_the_place_of_two(tmp_path: Path) -> None:
    async with proxied(tmp_path, patience=Patience(connections=2, stall=1000)) as remote:
        idle = [await asyncio.open_connection("127.0.0.1", remote.port) for _ in range(2)]
        await remote.until(lambda: remote.listener.connections == 2)
        # The event loop does not run in between, so it sees both at the same time.
        new = [socket.create_connection(("127.0.0.1", remote.port)) for _ in range(2)]
        for reader, _ in idle:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert remote.listener.connections == 2
        for connection in new:
            connection.close()
        for _, writer in idle:
            writer.close()


async def test_when_all_connections_are_busy_a_new_one_is_closed(tmp_path: Path) -> None:
    async with proxied(tmp_path, patience=Patience(connections=1)) as remote:
        async with exchanging(remote, Version.HTTP1, "/held") as exchange:
            await exchange.send(b"", end=True)
            await remote.until(lambda: bool(remote.api.bodies))
            with suppress(ConnectionResetError):
                assert await remote.raw(b"GET / HTTP/1.1\r\n") == b""
        assert remote.proxy.refused["connections"] == 1


async def test_too_many_requests_are_answered_503(tmp_path: Path) -> None:
    few = Patience(requests=1, stall=0, check_every=600)
    async with proxied(tmp_path, patience=few) as remote, exchanging(remote, Version.HTTP1, "/held") as exchange:
        await exchange.send(b"", end=True)
        await remote.until(lambda: bool(remote.api.bodies))
        request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        assert (await remote.raw(request)).startswith(b"HTTP/1.1 503")
        assert remote.proxy.refused == {"busy": 1}
        # Who does not read that is not waited for, and makes no room either.
        unread = asyncio.ensure_future(over_http2(remote, {**FIELDS, ":authority": "localhost"}, window=0))
        await remote.until(lambda: len(remote.listener._calls) == 2)
        assert (await remote.raw(request)).startswith(b"HTTP/1.1 503")
        remote.listener._check()
        assert await unread == "reset 8"
        assert remote.proxy.refused == {"busy": 3, "slow": 1}
        remote.api.release.set()
        assert (await exchange.head()).status == 201
        await remote.until(lambda: not remote.listener._calls)
        assert (await remote.raw(request)).startswith(b"HTTP/1.1 201")


@asynccontextmanager
async def unread(folder: Path, patience: Patience, request: bytes) -> AsyncIterator[tuple[Remote, socket.socket]]:
    """Answer the last request of an old connection, whose caller does not read."""

    def answer(served: Served) -> None:
        for side in remote.listener._sides:
            side._idle_since = -10_000.0  # type: ignore[attr-defined]
        served.respond()
        for number in range(12):
            served.send(bytes(16_000), end=number == 11)

    async with (
        Http2Target(on_request=answer) as target,
        proxied(folder, origin=Origin("http", "127.0.0.1", target.port), patience=patience) as remote,
    ):
        # The kernel takes little of the response, and the proxy's buffer all of the rest.
        remote.listener._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[union-attr]
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", remote.port))
            caller.sendall(request)
            await remote.until(lambda: bool(remote.proxy.counters.requests))
            await remote.until(lambda: not remote.listener._calls)
            yield remote, caller


ONE = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
ONE_OVER_HTTP2 = asking({**FIELDS, ":authority": "localhost"}, 2**20).data_to_send()


@pytest.mark.parametrize("request_", [ONE, ONE_OVER_HTTP2], ids=["HTTP/1.1", "h2c"])
@pytest.mark.parametrize("drains", [False, True])
async def test_a_caller_that_never_reads_the_end_of_a_response_is_hung_up_on(
    tmp_path: Path, request_: bytes, *, drains: bool
) -> None:
    async with unread(tmp_path, replace(HASTY, idle=600) if drains else HASTY, request_) as (remote, caller):
        if drains:
            await asyncio.wait_for(remote.proxies.drain(600), 30)
        await remote.until(lambda: not remote.listener.connections)
        received = 0
        with suppress(ConnectionResetError):
            while data := await asyncio.to_thread(caller.recv, 65_536):
                received += len(data)
        assert received < 12 * 16_000


async def test_a_response_that_took_long_has_as_much_time_to_be_read_as_any_other(tmp_path: Path) -> None:
    async with unread(tmp_path, Patience(check_every=600), ONE) as (remote, caller):
        remote.listener._check()
        with caller.makefile("rb") as file:
            answer = await asyncio.to_thread(file.read)
        assert answer.endswith(b"\0\r\n0\r\n\r\n")


async def test_an_early_response_is_not_lost_while_the_caller_still_uploads_and_the_proxy_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_side, "_LINGER", 600)
    async with (
        Http2Target() as target,
        proxied(tmp_path, origin=Origin("http", "127.0.0.1", target.port)) as remote,
    ):
        target.hold = True
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\n\r\n" + bytes(1_000_000))
        served = await target.request()
        side: Any = next(iter(remote.listener._sides))
        await remote.until(lambda: not side._transport.is_reading())
        served.answer(b"too much", status=413)
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        stopping = asyncio.ensure_future(remote.proxies.drain(600))
        timer = side._lingers._timer
        writer.write(bytes(1000))
        await remote.until(lambda: side._lingers._timer is not timer)
        writer.close()
        await stopping


async def test_a_caller_that_uploads_on_after_the_response_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_side, "_LINGER_AT_MOST", 0.1)
    monkeypatch.setattr(http1_side, "_LINGER", 0.05)
    async with (
        Http2Target(on_request=lambda served: served.answer(status=413)) as target,
        proxied(tmp_path, origin=Origin("http", "127.0.0.1", target.port)) as remote,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
        while remote.listener.connections:
            writer.write(b"more")
            await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_a_caller_that_reads_slowly_is_not_given_up(tmp_path: Path) -> None:
    patience = Patience(head=0.5, stall=0.5, check_every=0.05)
    async with proxied(tmp_path, patience=patience) as remote:
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", remote.port))
            caller.setblocking(False)
            loop = asyncio.get_running_loop()
            size = 4_000_000
            head = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size
            sending = asyncio.ensure_future(loop.sock_sendall(caller, head + bytes(size)))
            read = 0
            for _ in range(100):
                read += len(await loop.sock_recv(caller, 4096))
                await asyncio.sleep(0.02)
            sending.cancel()
        assert read > 100_000
        assert remote.proxy.refused["slow"] == 0
