"""What goes through the client to a target that speaks HTTP/1.1, and what the target may do with it."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from h2.errors import ErrorCodes

from tests.tunnel.client.clients import HTTP1, forwarding, opened, sent
from tests.tunnel.client.http1_target import Http1Target, Peer
from tests.tunnel.cloud import StreamResetError, tls_pair
from tests.tunnel.dialling import until
from tests.tunnel.neighbours import is_reset
from tests.tunnel.tunnels import EACH_LOOP

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def replying(peer: Peer) -> None:
    while head := await peer.head():
        await peer.body(head)
        peer.send(OK)


def replying_with(response: bytes) -> object:
    """Return a target that sends these bytes for each request, and closes the connection if they say so."""

    async def reply(peer: Peer) -> None:
        while head := await peer.head():
            await peer.body(head)
            peer.send(response)
            if b"close" in response.partition(b"\r\n\r\n")[0] or b"\r\n\r\n" not in response:
                return

    return reply


async def echoing(peer: Peer) -> None:
    while head := await peer.head():
        body = await peer.body(head)
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def test_a_request_reaches_the_target_as_http_1_1() -> None:
    async with Http1Target(echoing) as target, forwarding(target.origin) as (_, line):
        headers = {**HTTP1, "te": "trailers", "x-z": "1", "expect": "nothing"}
        path = "/prefix/invoke/Greeter/echo?x=%20&y"
        response = await sent(line, target.origin, headers, path=path, body=b"hello")
        assert (response.status, response.body) == (200, b"hello")
        first, *fields = target.heads[0].decode().strip().split("\r\n")
        assert first == f"POST {path} HTTP/1.1"
        names = [field.partition(":")[0] for field in fields]
        assert f"host: 127.0.0.1:{target.port}" in fields
        assert sorted(names) == sorted(
            [
                *("host", "x-restate-signature-scheme", "x-restate-jwt-v1", "x-z", "expect"),
                *("te", "connection", "transfer-encoding"),
            ]
        )
        assert "connection: te" in fields


@pytest.mark.parametrize(
    ("method", "headers", "body", "expected"),
    [
        ("GET", {}, b"", None),
        ("POST", {}, b"", b"content-length: 0"),
        ("POST", {"content-length": "5"}, b"hello", b"content-length: 5"),
        ("ACL", {"content-length": "05"}, b"hello", b"content-length: 5"),
        ("POST", {}, b"hello", b"transfer-encoding: chunked"),
    ],
)
async def test_a_body_is_framed_in_one_way(
    method: str, headers: dict[str, str], body: bytes, expected: bytes | None
) -> None:
    async with Http1Target(echoing) as target, forwarding(target.origin) as (_, line):
        response = await sent(line, target.origin, {**HTTP1, **headers}, method=method, body=body)
        assert response.body == body
        framed = [name for name in (b"content-length: ", b"transfer-encoding: ") if name in target.heads[0]]
        assert len(framed) == (expected is not None)
        assert expected is None or expected + b"\r\n" in target.heads[0]


async def test_both_bodies_flow_at_the_same_time() -> None:
    async def talk(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while size := int(await peer.reader.readline(), 16):
            peer.send(b"%x\r\n%s" % (size, await peer.reader.readexactly(size + 2)))
        peer.send(b"0\r\n\r\n")

    async with Http1Target(talk) as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, HTTP1)
        assert (await exchange.response())[":status"] == "200"
        for word in (b"one", b"two", b"three"):
            await exchange.send(word)
            assert await exchange.read() == word
        exchange.end()
        assert await exchange.read() == b""


@EACH_LOOP
async def test_trailers_pass_both_ways() -> None:
    got: list[bytes] = []

    async def trail(peer: Peer) -> None:
        got.append(await peer.body(await peer.head()))
        peer.send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\nconnection: a\r\n\r\n"
        )

    async with Http1Target(trail) as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, {**HTTP1, "accept": "a", "x-a": "b"})
        await exchange.send(b"hello")
        exchange.trailers([("x-sum", "2"), ("content-length", "7"), ("host", "other")])
        assert (await exchange.whole()).body == b"abc"
        assert exchange.response_trailers == {"x-sum": "1"}
        assert got == [b"hellox-sum: 2\r\n"]


async def test_a_connection_is_used_again_and_each_request_at_a_time_has_its_own() -> None:
    gate = asyncio.Event()

    async def gated(peer: Peer) -> None:
        while await peer.head():
            await gate.wait()
            peer.send(OK)

    async with Http1Target(gated) as target, forwarding(target.origin) as (client, line):
        several = [opened(line, target.origin, HTTP1, method="GET", end=True) for _ in range(5)]
        await until(lambda: len(target.heads) == 5)
        assert len(target.peers) == 5
        gate.set()
        assert {(await exchange.whole()).body for exchange in several} == {b"ok"}
        for _ in range(3):
            assert (await sent(line, target.origin, HTTP1, method="GET")).status == 200
        assert (len(target.peers), len(target.heads), client.pool.connections) == (5, 8, 5)


async def test_a_connection_that_the_target_has_closed_is_not_used_again() -> None:
    async def once(peer: Peer) -> None:
        await peer.body(await peer.head())
        peer.send(OK)
        await gone.wait()

    gone = asyncio.Event()
    async with Http1Target(once) as target, forwarding(target.origin) as (client, line):
        assert (await sent(line, target.origin, HTTP1, body=b"a")).status == 200
        assert client.pool.connections == 1
        gone.set()
        await until(lambda: client.pool.connections == 0)
        assert (await sent(line, target.origin, HTTP1, body=b"a")).status == 200
        assert len(target.peers) == 2


async def test_a_request_that_was_sent_is_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    async def slam(peer: Peer) -> None:
        await peer.body(await peer.head())
        peer.send(OK)
        await peer.body(await peer.head())

    async with Http1Target(slam) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin, HTTP1, body=b"a")).status == 200
        # The target closes the connection at the second request: whether it has run, nobody knows.
        assert (await sent(line, target.origin, HTTP1, body=b"a")).status == 502
        assert len(target.heads) == 2
    assert "failed: the target closed the connection before it answered" in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close, x-private\r\nx-private: 1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nkeep-alive:\r\nConnection:close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\nproxy-connection: keep-alive\r\nupgrade: h2c\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nx-close: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Restate-Tunnel-Draining: true\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: a\r\n\r\n" + OK,
    ],
)  # fmt: skip
async def test_what_belongs_to_the_connection_ends_there(response: bytes) -> None:
    async with Http1Target(replying_with(response)) as target, forwarding(target.origin) as (_, line):  # type: ignore[arg-type]
        answer = await sent(line, target.origin, HTTP1, body=b"a")
        assert (answer.status, answer.body) == (200, b"ok")
        assert set(answer.headers) <= {":status", "content-length", "x-close"}


@pytest.mark.parametrize(
    "response",
    [
        *(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", b"HTTP/2 200 OK\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        *(b"HTTP/1.1 200 OK\r\nx a: b\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\n\r\n", b"\x15\x03\x01\0\2"),
        *(b"HTTP/1.1 200 OK\r\nx-large: " + b"a" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"),
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)  # fmt: skip
async def test_a_response_that_could_be_read_in_two_ways_is_a_502(response: bytes) -> None:
    async with Http1Target(replying_with(response)) as target, forwarding(target.origin) as (_, line):  # type: ignore[arg-type]
        assert await sent(line, target.origin, HTTP1, body=b"a") == (502, {":status": "502"}, b"")


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nset cookie: a-secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: \0a-secret\r\n\r\n",
        b"a-secret\r\n\r\n",
    ],
)
async def test_the_log_says_what_is_wrong_with_a_response_and_does_not_quote_it(
    response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Http1Target(replying_with(response)) as target, forwarding(target.origin) as (_, line):  # type: ignore[arg-type]
        assert (await sent(line, target.origin, HTTP1)).status == 502
    assert "the target violated HTTP/1.1: illegal" in caplog.text
    assert "a-secret" not in caplog.text


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
    ],
)
@pytest.mark.parametrize("broken", [False, True])
async def test_a_response_that_breaks_off_is_never_a_clean_end(begin: bytes, broken: bool) -> None:
    async def half(peer: Peer) -> None:
        await peer.body(await peer.head())
        peer.send(begin)
        await gone.wait()
        if broken:
            peer.writer.transport.abort()

    gone = asyncio.Event()
    async with Http1Target(half) as target, forwarding(target.origin) as (client, line):
        exchange = opened(line, target.origin, HTTP1, end=True)
        assert await exchange.read() == b"half"
        gone.set()
        await is_reset(exchange, ErrorCodes.INTERNAL_ERROR)
        assert client.counters.resets == 1


async def test_bytes_after_a_response_are_not_taken_for_the_next_one() -> None:
    async def double(peer: Peer) -> None:
        await peer.body(await peer.head())
        peer.send(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await peer.head()

    async with Http1Target(double) as target, forwarding(target.origin) as (client, line):
        for _ in range(2):
            assert (await sent(line, target.origin, HTTP1, body=b"a")).body == b"ok"
        assert len(target.peers) == 2
        assert client.pool.connections == 0


async def test_a_request_that_is_given_up_ends_the_connection_and_never_looks_complete() -> None:
    received = bytearray()

    async def silent(peer: Peer) -> None:
        await peer.head()
        received.extend(await peer.reader.read())

    async with Http1Target(silent) as target, forwarding(target.origin) as (client, line):
        exchange = opened(line, target.origin, HTTP1)
        await exchange.send(b"first half")
        await until(lambda: len(target.heads) == 1)
        exchange.reset()
        await until(lambda: target.peers[0].reader.at_eof())
        assert b"\r\n0\r\n" not in received
        assert client.pool.connections == 0


@pytest.mark.parametrize("alpn", ["http/1.1", None])
async def test_over_tls_a_target_that_chooses_http_1_1_gets_it(alpn: str | None) -> None:
    tls = tls_pair(name="127.0.0.1", alpn=[alpn] if alpn else [])
    async with (
        Http1Target(echoing, tls=tls.cloud) as target,
        forwarding(target.origin, target_tls=lambda: tls.tunnel) as (_, line),
    ):
        for _ in range(2):
            assert (await sent(line, target.origin, body=b"hello")).body == b"hello"
        assert len(target.peers) == 1
        # Asked for HTTP/2, it has none.
        version = {"x-restate-tunnel-http-version": "HTTP/2.0"}
        assert (await sent(line, target.origin, version)).status == 502
        assert (await sent(line, target.origin, HTTP1, body=b"hello")).body == b"hello"
        for peer in (target.peers[0], target.peers[-1]):
            assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == alpn


@EACH_LOOP
@pytest.mark.parametrize("closes", [True, False])
async def test_over_tls_a_body_without_a_length_is_whole_only_if_tls_was_closed(closes: bool) -> None:
    tls = tls_pair(name="127.0.0.1", alpn=["http/1.1"])

    async def answer(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf of it")
        await peer.writer.drain()
        if not closes:
            # The kernel says FIN, and nobody closes TLS.
            with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as connection:
                connection.shutdown(socket.SHUT_WR)
            await asyncio.sleep(60)

    async with (
        Http1Target(answer, tls=tls.cloud) as target,
        forwarding(target.origin, target_tls=lambda: tls.tunnel) as (_, line),
    ):
        exchange = opened(line, target.origin, end=True)
        if closes:
            assert (await exchange.whole()).body == b"half of it"
        else:
            with pytest.raises(StreamResetError):
                await exchange.whole()


@pytest.mark.parametrize("where", ["header", "trailer"])
async def test_a_header_that_cannot_be_sent_is_not_quoted_in_the_log(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Http1Target(lambda peer: peer.reader.read()) as target, forwarding(target.origin) as (_, line):
        line.h2.config.validate_outbound_headers = False
        for value in ("SECRET\x0cz", "SECRET'\x0cz", 'SECRET"\x0cz', "SECRET'\"\x0cz"):
            exchange = opened(line, target.origin, {**HTTP1, "x-a": value} if where == "header" else HTTP1)
            exchange.trailers([("x-a", value)])
            assert (await exchange.whole()).status == 502
    assert "the request cannot be sent over HTTP/1.1: Illegal header value" in caplog.text
    assert "SECRET" not in caplog.text


async def test_blanks_around_values_end_with_the_request_and_with_the_response() -> None:
    async def answer(peer: Peer) -> None:
        head = await peer.head()
        assert b"\r\nx-a: b\r\n" in head
        peer.send(b"HTTP/1.1 200 OK\r\nte: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: u \t\r\nte: x\r\n\r\n")
        await peer.head()

    async with Http1Target(answer) as target, forwarding(target.origin) as (_, line):
        line.h2.config.validate_outbound_headers = False
        line.h2.config.normalize_outbound_headers = False
        exchange = opened(line, target.origin, {**HTTP1, "x-a": " b\t"}, end=True)
        assert (await exchange.whole()).status == 200
        assert exchange.response_trailers == {"x-t": "u"}
