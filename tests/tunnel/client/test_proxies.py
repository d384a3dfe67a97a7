"""The remote proxies: what passes to the cloud, in which form, and how it flows."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from restate_identity.tunnel.client.exchange import ExchangeError, Version
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.proxies import http2_side
from restate_identity.tunnel.client.proxies.callers import Callers
from restate_identity.tunnel.client.proxies.patience import PIECE, Patience
from restate_identity.tunnel.client.proxies.remote_proxies import Port, RemoteProxies
from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.token import AuthToken
from tests.support.processes import free_port
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.client.remote import Remote, exchanging, proxied
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import EACH_LOOP

VERSIONS = pytest.mark.parametrize("version", [Version.HTTP1, Version.HTTP2], ids=["HTTP/1.1", "h2c"])


def target_proxied(target: Http2Target, folder: Path) -> AbstractAsyncContextManager[Remote]:
    """Run a proxy in front of *target*."""
    return proxied(folder, origin=Origin("http", "127.0.0.1", target.port))


async def settled(measure: Callable[[], int]) -> None:
    """Wait until *measure* does not change any more."""
    before = -1
    while before != (now := measure()):
        before = now
        await asyncio.sleep(0.1)


def client(version: Version) -> httpx.AsyncClient:
    http2 = version is Version.HTTP2
    return httpx.AsyncClient(http1=not http2, http2=http2, trust_env=False, timeout=30)


@VERSIONS
async def test_a_request_gets_to_the_cloud_over_http_2_with_the_api_key(tmp_path: Path, version: Version) -> None:
    async with proxied(tmp_path) as remote, client(version) as http:
        headers = {"authorization": "Bearer of-the-caller", "x-own": "1", "te": "trailers", "x-forwarded-host": "evil"}
        answer = await http.request(
            "PURGE", f"{remote.url}/a%2Fb;c?d=%41&e", headers={**headers, "content-type": "x/y"}, content=b"body"
        )
    assert (answer.status_code, answer.content, answer.headers["x-of-the-cloud"]) == (201, b"answered", "yes")
    (scope,) = remote.api.seen
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("PURGE", "2", "https")
    assert (scope["raw_path"], scope["query_string"]) == (b"/a%2Fb;c", b"d=%41&e")
    assert remote.api.bodies == [b"body"]
    assert remote.api.header("authorization") == [f"Bearer {TOKEN}"]
    assert remote.api.header("x-forwarded-host") == [f"127.0.0.1:{remote.port}"]
    assert remote.api.header("host") == [remote.proxies.ports[0].origin.authority]
    assert (remote.api.header("x-own"), remote.api.header("content-type")) == (["1"], ["x/y"])
    assert remote.proxy.counters.requests == {201: 1}


@VERSIONS
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_every_method_passes(tmp_path: Path, version: Version, method: str) -> None:
    async with proxied(tmp_path) as remote, client(version) as http:
        answer = await http.request(method, f"{remote.url}/x")
        again = await http.request(method, f"{remote.url}/x")
    assert (answer.status_code, answer.content) == (again.status_code, again.content)
    assert (answer.status_code, answer.content) == (201, b"" if method == "HEAD" else b"answered")
    assert [scope["method"] for scope in remote.api.seen] == [method, method]


@VERSIONS
async def test_both_bodies_flow_at_the_same_time(tmp_path: Path, version: Version) -> None:
    async with proxied(tmp_path) as remote, exchanging(remote, version, "/echo") as exchange:
        assert (await exchange.head()).status == 200
        for word in (b"one", b"two", b"three"):
            await exchange.send(word)
            assert await exchange.read() == (word, False)
        await exchange.send(b"", end=True)
        data, ended = await exchange.read()
        while not ended:
            data, ended = await exchange.read()
        assert data == b""


@VERSIONS
async def test_a_caller_that_gives_up_is_given_up_at_the_cloud(tmp_path: Path, version: Version) -> None:
    async with proxied(tmp_path) as remote:
        async with exchanging(remote, version, "/held") as exchange:
            await exchange.send(b"", end=True)
            await remote.until(lambda: bool(remote.api.bodies))
        await remote.until(lambda: remote.api.gone == 1)


async def test_a_caller_that_has_closed_its_end_is_gone(tmp_path: Path) -> None:
    async with proxied(tmp_path) as remote:
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"GET /held HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await remote.until(lambda: bool(remote.api.bodies))
        writer.write_eof()
        await remote.until(lambda: remote.api.gone == 1 and not remote.listener.connections)
        assert await reader.read() == b""
        writer.close()


@VERSIONS
async def test_a_body_that_a_caller_gives_up_never_looks_complete_to_the_cloud(
    tmp_path: Path, version: Version
) -> None:
    async with Http2Target() as target, target_proxied(target, tmp_path) as remote:
        async with exchanging(remote, version, "/") as exchange:
            await exchange.send(b"first half")
            served = await target.request()
            await remote.until(lambda: bool(served.body))
        await remote.until(lambda: served.reset_code is not None)
        assert not served.complete


@VERSIONS
async def test_a_cloud_that_does_not_read_holds_the_caller_back(tmp_path: Path, version: Version) -> None:
    async with Http2Target() as target, target_proxied(target, tmp_path) as remote:
        target.hold = True
        async with exchanging(remote, version, "/") as exchange:
            sending = asyncio.ensure_future(exchange.send(bytes(64 * 1024 * 1024)))
            served = await target.request()
            await settled(lambda: len(served.body))
            if version is Version.HTTP1:
                side: Any = next(iter(remote.listener._sides))
                await remote.until(lambda: not side._transport.is_reading())
                # A caller that has read a piece of a response is seen to read.
                low, high = side._transport.get_write_buffer_limits()
                assert high - low == PIECE
            # The other megabytes are in no buffer: the caller still has them.
            assert not sending.done()
            sending.cancel()


@EACH_LOOP
@VERSIONS
async def test_a_large_body_passes_both_ways(tmp_path: Path, version: Version) -> None:
    body = bytes(range(256)) * 20_000
    async with proxied(tmp_path) as remote, exchanging(remote, version, "/echo") as exchange:
        sending = asyncio.ensure_future(exchange.send(body, end=True))
        received, ended = b"", False
        while not ended:
            data, ended = await exchange.read()
            received += data
        await sending
    assert received == body


@VERSIONS
async def test_if_the_cloud_cannot_be_reached_the_answer_is_502(tmp_path: Path, version: Version) -> None:
    nowhere = Origin("https", "127.0.0.1", free_port())
    async with proxied(tmp_path, origin=nowhere) as remote, exchanging(remote, version, "/") as exchange:
        await exchange.send(b"", end=True)
        assert (await exchange.head()).status == 502
        assert await exchange.read() == (b"", True)
        assert (remote.proxy.counters.requests, remote.proxy.counters.failures) == ({502: 1}, 1)


async def test_a_cloud_that_cannot_prove_its_name_gets_nothing(tmp_path: Path) -> None:
    async with proxied(tmp_path, tls=ssl.create_default_context) as remote:
        assert b"HTTP/1.1 502" in await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert remote.api.seen == []


async def test_a_redirect_is_passed_back_and_not_followed(tmp_path: Path) -> None:
    async with proxied(tmp_path) as remote:
        answer = await remote.raw(b"GET /redirect HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 307")
        assert b"location: https://elsewhere.test/" in answer
        assert len(remote.api.seen) == 1


async def test_what_belongs_to_the_connection_is_not_passed_on(tmp_path: Path) -> None:
    head = (
        "GET / HTTP/1.1",
        "Host: localhost:8080",
        "Connection: close, X-Private",
        "X-Private: 1",
        "X-Kept: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "TE: gzip",
        *("", ""),
    )
    async with proxied(tmp_path) as remote:
        answer = await remote.raw("\r\n".join(head).encode())
        assert b"HTTP/1.1 201" in answer
        names = {name.decode() for name, _ in remote.api.seen[0]["headers"]}
        assert names & {word.partition(":")[0].lower() for word in head[1:]} == {"host", "x-kept"}
        assert remote.api.header("x-forwarded-host") == ["localhost:8080"]


async def test_a_caller_of_http_1_0_gets_a_body_that_ends_with_the_connection(tmp_path: Path) -> None:
    async with proxied(tmp_path) as remote:
        answer = await remote.raw(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201")
        assert answer.endswith(b"\r\n\r\nanswered")


async def test_a_response_that_breaks_off_is_a_reset_for_a_caller_of_http_1_0(tmp_path: Path) -> None:
    async with Http2Target() as target, target_proxied(target, tmp_path) as remote:
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n")
        served = await target.request()
        served.respond()
        served.send(b"half of it")
        await reader.readuntil(b"half of it")
        served.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status", "headers", "has_trailers"),
    [
        ("GET / HTTP/1.1", 200, [("age", "1"), ("x", "1")], True),
        ("POST / HTTP/1.1", 200, [], True),
        ("GET / HTTP/1.1", 200, [("content-length", "4")], False),
        ("GET / HTTP/1.0", 200, [], False),
        ("HEAD / HTTP/1.1", 200, [], False),
        ("GET / HTTP/1.1", 204, [], False),
        ("GET / HTTP/1.1", 304, [], False),
    ],
)
async def test_trailers_are_passed_back_where_http_1_1_has_a_place_for_them(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    request_: str,
    status: int,
    headers: list[tuple[str, str]],
    has_trailers: bool,
) -> None:
    has_body = not request_.startswith("HEAD") and status == 200

    def answer(served: Served) -> None:
        served.respond(status, headers)
        if has_body:
            served.send(b"body")
        served.trail([("x-sum", "1")])

    async with Http2Target(on_complete=answer) as target, target_proxied(target, tmp_path) as remote:
        head, _, body = (
            await remote.raw(f"{request_}\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        ).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % status)
        expected = b"body" if has_body else b""
        assert body.endswith(b"\r\n0\r\nx-sum: 1\r\n\r\n" if has_trailers else expected)
        assert (b"x-sum" in body) == has_trailers
        assert not caplog.messages


async def test_blanks_around_a_header_of_the_cloud_end_there(tmp_path: Path) -> None:
    def answer(served: Served) -> None:
        served.end.h2.config.normalize_outbound_headers = False
        served.respond(200, [("set-cookie", " session=1 \t"), ("content-length", "0")], end=True)

    async with Http2Target(on_complete=answer) as target, target_proxied(target, tmp_path) as remote:
        answered = await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert b"\r\nset-cookie: session=1\r\n" in answered


async def test_requests_that_are_sent_at_once_are_answered_in_order(tmp_path: Path) -> None:
    one = b"POST /%d HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n%d"
    # More than the proxy buffers.
    large = b"GET /0 HTTP/1.1\r\nhost: localhost\r\nx: " + 60_000 * b"1" + b"\r\n\r\n"
    last = b"GET /3 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    async with proxied(tmp_path) as remote:
        answer = await remote.raw(10 * large + one % (1, 1) + one % (2, 2) + last)
        assert answer.count(b"HTTP/1.1 201") == 13
        assert [scope["path"] for scope in remote.api.seen] == [*10 * ["/0"], "/1", "/2", "/3"]
        assert remote.api.bodies == [*10 * [b""], b"1", b"2", b""]


async def test_a_caller_that_waits_for_100_continue_gets_it(tmp_path: Path) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    async with proxied(tmp_path) as remote:
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"body")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
        writer.close()
        assert (remote.api.bodies, remote.api.header("expect")) == ([b"body"], [])


@VERSIONS
async def test_a_trailer_says_nothing_about_whom_a_request_is_for_and_with_whose_rights_it_is_made(
    tmp_path: Path, version: Version
) -> None:
    names = [b"authorization", b"cookie", b"expect", b"http2-settings", b"proxy-authorization", b"x-forwarded-host"]
    # Ours sends no such trailer over HTTP/1.1.
    names += [b"content-length", b"host", b"te", b"trailer"] if version is Version.HTTP2 else [b"keep-alive"]
    async with (
        Http2Target() as target,
        target_proxied(target, tmp_path) as remote,
        exchanging(remote, version, "/") as exchange,
    ):
        await exchange.send(b"body", end=True, trailers=[(b"x-sum", b"1"), *((name, b"1") for name in names)])
        served = await target.request()
        await remote.until(lambda: served.complete)
    assert (bytes(served.body), served.trailers) == (b"body", {"x-sum": "1"})


async def test_chunks_and_trailers_are_passed_on(tmp_path: Path) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    target = Http2Target(on_complete=lambda served: served.answer(b"answered"))
    async with target, target_proxied(target, tmp_path) as remote:
        answer = await remote.raw(head + b"2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nx-sum: 1\r\nauthorization: evil\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        await remote.proxies.drain(1)
        await remote.until(lambda: target.ends[0].lost)
    (served,) = target.served
    assert (bytes(served.body), served.trailers) == (b"abcde", {"x-sum": "1"})
    assert "transfer-encoding" not in served.headers
    assert [value for name, value in served.fields if name == "authorization"] == [f"Bearer {TOKEN}"]


async def test_a_response_that_http_1_1_cannot_carry_is_a_reset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = Http2Target(on_complete=lambda served: served.respond(200, [("x", "a\x0csecret")], end=True))
    async with target, target_proxied(target, tmp_path) as remote:
        with pytest.raises(ConnectionResetError):
            await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    told = "tunnel client: a response cannot be sent over HTTP/1.1: Illegal header value"
    assert caplog.record_tuples == [("restate_identity.tunnel.client", logging.WARNING, told)]


class _BrokenToken(AuthToken):
    def read(self) -> str:
        raise RuntimeError("a mistake of ours")


async def test_a_mistake_of_the_proxy_ends_only_the_connection_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(tmp_path, token=_BrokenToken(TOKEN)) as remote:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async with exchanging(remote, Version.HTTP2, "/x") as exchange:
            assert (await exchange.head()).status == 500
    assert all(record.exc_info is not None for record in caplog.records)
    assert caplog.messages == ["tunnel client: a remote proxy failed"] * 2 + ["the application failed on '/x'"]


async def test_the_log_says_what_a_port_gives_access_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "restate_identity.tunnel.client")

    def port(name: str, address: ServeAddress) -> Port:
        return Port(name=name, address=address, origin=Origin("https", f"{name}.test", 443))

    ports = (port("ingress", ServeAddress("127.0.0.1", 0)), port("admin", ServeAddress("0.0.0.0", 0)))
    proxies = RemoteProxies(ports, AuthToken(TOKEN), Callers())
    await proxies.start()
    taken = ServeAddress("127.0.0.1", proxies.listeners[0].port)
    other = RemoteProxies((port("ingress", taken),), AuthToken(TOKEN), Callers())
    with pytest.raises(OSError, match=f"cannot listen on {taken} for the ingress proxy: error while") as failure:
        await other.start()
    assert failure.value.errno == errno.EADDRINUSE
    assert str(failure.value).endswith("; choose another port with --ingress-serve-address, or pass --no-remote-proxy")
    await other.drain(0)
    await proxies.drain(0)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [line for line in lines if line[0] == "INFO"] == [
        ("INFO", "tunnel client: 127.0.0.1:0 passes requests on to https://ingress.test:443"),
        ("INFO", "tunnel client: 0.0.0.0:0 passes requests on to https://admin.test:443"),
    ]
    (warning,) = [text for level, text in lines if level == "WARNING"]
    assert warning.startswith("tunnel client: the admin proxy listens on 0.0.0.0:0, beyond this machine. WHOEVER")
    assert TOKEN not in caplog.text


async def test_without_a_readable_token_the_answer_is_502(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with proxied(tmp_path, token=AuthToken(file=tmp_path / "missing")) as remote:
        answer = await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 502")
        assert remote.api.seen == []
        assert remote.proxy.counters.requests == {502: 1}
        (line,) = caplog.messages
        assert "failed: the auth token cannot be read: " in line


@VERSIONS
async def test_what_is_in_flight_finishes_when_the_proxy_stops(
    tmp_path: Path, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_side, "TIMINGS", replace(http2_side.TIMINGS, farewell=600))
    async with proxied(tmp_path) as remote, exchanging(remote, version, "/held", stays=True) as exchange:
        await exchange.send(b"", end=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await remote.until(lambda: len(remote.api.bodies) == 2)
        await reader.readuntil(b"0\r\n\r\n")
        stopping = asyncio.ensure_future(remote.proxies.drain(600))
        assert await asyncio.wait_for(reader.read(), 30) == b""  # nothing was in flight here
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", remote.port)
        assert not stopping.done()
        remote.api.release.set()
        assert (await exchange.head()).status == 201
        data, ended = await exchange.read()
        while not ended:
            more, ended = await exchange.read()
            data += more
        assert data == b"answered"
        await asyncio.wait_for(stopping, 30)


async def test_a_response_that_was_begun_before_the_proxy_stops_ends_its_connection(tmp_path: Path) -> None:
    async with proxied(tmp_path) as remote:
        reader, writer = await asyncio.open_connection("127.0.0.1", remote.port)
        writer.write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.ensure_future(remote.proxies.drain(600))
        await asyncio.sleep(0)
        writer.write(b"word")
        assert b"word" in await asyncio.wait_for(reader.read(), 10)
        await asyncio.wait_for(stopping, 10)
        writer.close()


async def test_the_last_response_of_a_connection_says_so(tmp_path: Path) -> None:
    async with proxied(tmp_path, patience=Patience(head=600)) as remote:
        ends = [await asyncio.open_connection("127.0.0.1", remote.port) for _ in range(3)]
        (late, to_late), (half, to_half), (silent, _) = ends
        answer = asyncio.ensure_future(remote.raw(b"GET /held HTTP/1.1\r\nhost: localhost\r\n\r\n"))
        await remote.until(lambda: bool(remote.api.bodies))
        stopping = asyncio.ensure_future(remote.proxies.drain(600))
        await remote.until(lambda: remote.listener.is_draining)
        # Whoever had connected may still ask, but not slowly.
        to_late.write(b"GET /held HTTP/1.1\r\nhost: localhost\r\n\r\n")
        to_half.write(b"GET /half")
        assert await half.read() == await silent.read() == b""
        remote.api.release.set()
        for response in (await answer, await late.read()):
            head, _, body = response.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201")
            assert b"connection: close" in head.lower().split(b"\r\n")
            assert body.endswith(b"answered\r\n0\r\n\r\n")
        await stopping
        for _, writer in ends:
            writer.close()


@VERSIONS
async def test_what_does_not_finish_in_time_is_ended(tmp_path: Path, version: Version) -> None:
    async with proxied(tmp_path) as remote, exchanging(remote, version, "/held", stays=True) as exchange:
        await exchange.send(b"", end=True)
        await remote.until(lambda: bool(remote.api.bodies))
        await remote.listener.drain(0.05)
        assert not remote.listener.connections
        with pytest.raises(ExchangeError):
            await exchange.head()
        await remote.until(lambda: remote.api.gone == 1)
        # A request that came after the first of these is surely not lost, and one after the second was not processed.
        lasts = [goaway.last_stream_id for goaway in remote.goaways]
        assert lasts == ([2**31 - 1, 1] if version is Version.HTTP2 else [])


@VERSIONS
async def test_a_response_that_breaks_off_does_not_look_complete(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: Version
) -> None:
    async with Http2Target() as target, target_proxied(target, tmp_path) as remote:
        async with exchanging(remote, version, "/") as exchange:
            served = await target.request()
            served.respond()
            served.send(b"half")
            assert await exchange.read() == (b"half", False)
            served.reset()
            with pytest.raises(ExchangeError):
                await exchange.read()
        assert remote.proxy.counters.resets == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@VERSIONS
async def test_a_caller_that_does_not_read_holds_the_cloud_back(tmp_path: Path, version: Version) -> None:
    async with Http2Target() as target, target_proxied(target, tmp_path) as remote:
        async with exchanging(remote, version, "/"):
            served = await target.request()
            served.respond()
            sent = 0

            def send() -> int:
                nonlocal sent
                while size := min(served.window(), 16384):
                    served.send(bytes(size))
                    sent += size
                return sent

            await settled(send)
        # The windows and buffers of both connections; the kernel's are the largest.
        assert 256 * 1024 <= sent < 32 * 1024 * 1024


async def test_what_follows_the_last_request_of_a_connection_is_ignored(tmp_path: Path) -> None:
    async with proxied(tmp_path) as remote:
        answer = await remote.raw(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201")


async def test_callers_that_do_not_read_hold_up_no_other(tmp_path: Path) -> None:
    def answer(served: Served) -> None:
        served.respond()
        served.send(bytes(min(served.window(), 16384)))

    async with (
        Http2Target(on_request=answer) as target,
        proxied(tmp_path, origin=Origin("http", "127.0.0.1", target.port), streams=100) as remote,
        AsyncExitStack() as stack,
    ):
        for number in range(20):
            await stack.enter_async_context(exchanging(remote, Version.HTTP1, "/unread"))
            served = await target.request(number)
            while size := min(served.window(), 16384):
                served.send(bytes(size))
                await asyncio.sleep(0)
        assert len(target.ends) == 1
        exchange = await stack.enter_async_context(exchanging(remote, Version.HTTP1, "/read"))
        assert (await exchange.head()).status == 200
        assert (await exchange.read())[0]
