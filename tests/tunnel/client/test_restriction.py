"""Attacks on the restriction of targets: nothing is dialled before a request was verified, nor what is no target."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable

import dns.asyncresolver
import dns.resolver
import pytest

from restate_identity.signing import RequestSigner
from tests.tunnel.client.clients import HTTP1, forwarded, forwarding, sent, signed
from tests.tunnel.client.http1_target import Http1Target, Peer
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.cloud import StreamResetError
from tests.tunnel.dialling import until
from tests.tunnel.name_server import NameServer
from tests.tunnel.tunnels import PATH, SIGNER

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def answering(served: Served) -> None:
    served.answer()


async def replying(peer: Peer) -> None:
    while head := await peer.head():
        await peer.body(head)
        peer.send(OK)


def asking(server: NameServer) -> Callable[[str], Awaitable[list[str]]]:
    """Return a resolver that asks *server* for each name, each time."""

    async def resolve(host: str) -> list[str]:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
            try:
                return [record.address for record in await resolver.resolve(f"{host}.", "A", search=False)]
            except dns.resolver.NXDOMAIN:
                raise OSError("no such host") from None
        return [host]

    return resolve


async def test_nothing_is_dialled_for_a_request_that_is_not_verified() -> None:
    async with Http2Target(on_complete=answering) as target, forwarding(target.origin) as (client, line):
        unsigned = await line.request(forwarded(target.origin), {})
        other_path = await line.request(forwarded(target.origin, "/invoke/Greeter/other"), SIGNER.headers(PATH))
        forged = await line.request(forwarded(target.origin), RequestSigner.generate().headers(PATH))
        assert [unsigned.status, other_path.status, forged.status] == [401, 401, 401]
        assert not target.ends
        assert not client.counters.requests
        # The twin that differs in the signature only.
        assert (await sent(line, target.origin)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/http/2130706433/{port}", "/http/0x7f000001/{port}", "/http/0177.0.0.1/{port}", "/http/127.1/{port}"),
        *("/http/user@127.0.0.1/{port}", "/http/a:b@127.0.0.1/{port}", "/http/127.0.0.1:80/{port}"),
        *("/http/127.0.0.1./{port}", "/http/127.0.0.1%00/{port}", "/http/127.0.0.1%2e/{port}"),
        *("/http/[::1%25lo]/{port}", "/http/[::1%lo]/{port}", "/http/::1/{port}"),
        *("/http/127.0.0.1/0{port}", "/http/127.0.0.1/99999", "/http/127.0.0.1/0", "/HTTP/127.0.0.1/{port}"),
        *("/http/LOCALHOST/{port}", "/file/127.0.0.1/{port}", "/http//{port}", "/http/../{port}", "/http/*/{port}"),
    ],
)  # fmt: skip
async def test_another_spelling_of_a_target_is_a_malformed_request(path: str) -> None:
    async with (
        Http2Target(on_complete=answering) as target,
        forwarding(target.origin, "localhost", "*.localhost") as (
            client,
            line,
        ),
    ):
        response = await line.request(f"{path.format(port=target.port)}{PATH}", signed())
        assert (response.status, response.body) == (400, b"")
        assert not target.ends
        assert client.pool.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("[::]", "0.0.0.0", "127.0.0.2", "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "localhost", "a.b"),
    ],
)
async def test_what_is_no_target_is_refused_and_the_log_says_how_to_allow_it(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    wide = ["http://127.0.0.1:1", "0.0.0.0/0", "::/0", "*.internal"]
    async with Http2Target(on_complete=answering) as target, forwarding(*wide, resolve=_looked_up) as (client, line):
        with caplog.at_level(logging.WARNING):
            response = await line.request(f"/http/{host}/{target.port}{PATH}", signed())
        assert (response.status, response.body) == (403, b"")
        assert client.counters.refused_targets == 1
        assert client.counters.requests == {403: 1}
        assert f"add --target http://{ipaddress_in(host)}:{target.port}" in caplog.text
        assert not target.ends


def ipaddress_in(host: str) -> str:
    """Return the host as the client writes it."""
    return f"[{ipaddress.IPv6Address(host[1:-1])}]" if host.startswith("[") else host


async def _looked_up(host: str) -> list[str]:
    """Every name is at an address of this machine."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ["127.0.0.1", "::1"]
    return [host]


async def test_a_name_that_is_rebound_to_a_special_address_is_not_dialled_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with NameServer() as names, Http2Target(on_complete=answering) as target:
        names.records["greeter.test", "A"] = ["127.0.0.1"]
        async with forwarding(f"http://greeter.test:{target.port}", "10.0.0.0/8", resolve=asking(names)) as (_, line):
            assert (await sent(line, f"http://greeter.test:{target.port}")).status == 403
            assert names.asked == 1
            assert not target.ends
    assert "greeter.test is at 127.0.0.1 (this machine, loopback), which is not to be dialled" in caplog.text


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_dialled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dialled = _dials_elsewhere(monkeypatch)
    async with NameServer() as names:
        names.records["greeter.test", "A"] = ["10.0.0.1", "169.254.169.254", "127.0.0.1", "10.0.0.2"]
        async with forwarding("http://greeter.test:80", resolve=asking(names)) as (_, line):
            assert (await sent(line, "http://greeter.test:80")).status == 502
        assert names.asked == 1
        assert sorted(dialled) == ["10.0.0.1", "10.0.0.2"]
    assert "cannot connect: nobody is there" in caplog.text


def _dials_elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every dial that leaves this machine fail; return the addresses that were dialled."""
    dialled: list[str] = []
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def sock_connect(connection: socket.socket, address: tuple[str, int]) -> None:
        if address[0].startswith("127."):
            await connect(connection, address)
            return
        dialled.append(address[0])
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    return dialled


async def test_a_redirect_is_passed_back_and_not_followed() -> None:
    def redirect(served: Served) -> None:
        served.respond(307, [("location", f"http://127.0.0.1:{other.port}/invoke/Greeter/echo")], end=True)

    async with (
        Http2Target(on_complete=answering) as other,
        Http2Target(on_complete=redirect) as target,
        forwarding(target.origin) as (_, line),
    ):
        response = await sent(line, target.origin)
        assert response.status == 307
        assert response.headers["location"].startswith("http://127.0.0.1:")
        assert not other.ends


async def test_localhost_is_dialled_on_this_machine_and_a_name_that_leads_here_is_not() -> None:
    async with Http2Target(on_complete=answering) as target:
        origins = [f"http://localhost:{target.port}", f"http://greeter:{target.port}"]
        async with forwarding(*origins, resolve=_looked_up) as (_, line):
            assert [(await sent(line, origin)).status for origin in origins] == [200, 403]
        # The address is a target, too.
        async with forwarding(*origins, target.origin, resolve=_looked_up) as (_, line):
            assert [(await sent(line, origin)).status for origin in origins] == [200, 200]


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "5"), ("content-length", "6")],
        [("content-length", "5, 5")],
        [("transfer-encoding", "chunked")],
        [("connection", "x-restate-jwt-v1")],
        [("x-a", "b\r\nx-c: d")],
        [("x-a", "b\0")],
        [("x-a: b\r\nx-c", "d")],
        [("x a", "b")],
        [("X-A", "b")],
        [("x-restate-tunnel-http-version", "HTTP/1.1")],  # twice, with that of the test
    ],
)
async def test_a_request_that_could_be_read_as_two_is_not_forwarded(fields: list[tuple[str, str]]) -> None:
    async with Http1Target(replying) as target, forwarding(target.origin) as (_, line):
        line.h2.config.normalize_outbound_headers = line.h2.config.validate_outbound_headers = False
        exchange = line.open(forwarded(target.origin), [*signed(HTTP1), *fields])
        assert (await exchange.response())[":status"] == "400"
        assert not target.peers
        # Without these fields it is.
        assert (await sent(line, target.origin, HTTP1, body=b"12345")).status == 200


@pytest.mark.parametrize("query", ["a b", "a\x7f", "a\tb", "\xfc"])
async def test_a_query_that_http_1_1_would_end_in_the_middle_is_not_forwarded(query: str) -> None:
    async with Http2Target(on_complete=answering) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin, path=f"{PATH}?x={query}")).status == 400
        assert (await sent(line, target.origin, path=f"{PATH}?x=a%20b")).status == 200


async def test_a_connect_is_not_forwarded(caplog: pytest.LogCaptureFixture) -> None:
    async with Http1Target(replying) as target, forwarding(target.origin) as (_, line):
        line.h2.config.validate_outbound_headers = False
        assert (await sent(line, target.origin, HTTP1, method="CONNECT")).status == 400
        assert not target.peers
    assert "answers 400: CONNECT is not forwarded" in caplog.text


async def test_a_body_that_is_longer_than_it_says_never_reaches_the_target_as_another_request() -> None:
    async with Http1Target(replying) as target, forwarding(target.origin) as (_, line):
        exchange = line.open(forwarded(target.origin), signed({**HTTP1, "content-length": "3"}))
        peer = await target.peer()
        await until(lambda: len(target.heads) == 1)
        await exchange.send(b"abcGET /invoke/Greeter/secret HTTP/1.1\r\n\r\n", end=True)
        with pytest.raises(StreamResetError):
            await exchange.whole()
        await until(lambda: peer.reader.at_eof() or peer.reader.exception() is not None)
        assert len(target.heads) == 1
