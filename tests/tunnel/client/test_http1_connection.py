"""How one connection over HTTP/1.1 ends, seen from both of its ends: raw sockets with little room."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from restate_identity.tunnel.client.connection import TargetConnection
from restate_identity.tunnel.client.exchange import ExchangeError, RequestHead
from restate_identity.tunnel.client.http1_connection import BUFFER, Http1Connection
from restate_identity.tunnel.client.limits import Limits
from tests.tunnel.dialling import until

GET = RequestHead(b"GET", b"/", b"target", [], ended=True)
POST = GET._replace(method=b"POST", ended=False)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LARGE = b"x" * 2**21


class Owner:
    """Counts what a connection tells it."""

    def __init__(self) -> None:
        self.free = self.left = 0

    def has_room(self, connection: TargetConnection) -> None:  # noqa: ARG002
        self.free += 1

    def gone(self, connection: TargetConnection) -> None:
        assert not connection.is_usable
        self.left += 1


class Target:
    """The other end, and the socket of this one."""

    def __init__(self, end: socket.socket, ours: socket.socket) -> None:
        self.end = end
        self.ours = ours

    def send(self, data: bytes) -> None:
        self.end.sendall(data)

    async def rest(self) -> int:
        """Read until the connection ends; return how many bytes there were."""
        count, loop = 0, asyncio.get_running_loop()
        while data := await asyncio.wait_for(loop.sock_recv(self.end, 2**20), 10):
            count += len(data)
        return count


@asynccontextmanager
async def connected(*, idle: float = 600, requests: int = 100) -> AsyncIterator[tuple[Http1Connection, Owner, Target]]:
    """Give a connection whose sockets take little, its owner and its target."""
    connection = Http1Connection(Limits(idle=idle, requests=requests))
    connection.watcher = owner = Owner()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.socket()
        for end in (server, ours):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 2**14)
        ours.connect(server.getsockname())
        with server.accept()[0] as theirs:
            theirs.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
            yield connection, owner, Target(theirs, ours)
            transport.abort()
            await until(lambda: ours.fileno() == -1)


@pytest.mark.parametrize("end", ["response", "violation", "half", "close", "stop"])
async def test_what_the_target_does_not_read_of_a_request_is_dropped_when_the_connection_ends(end: str) -> None:
    async with connected() as (connection, owner, target):
        exchange = connection.open(POST, "http")
        sending = asyncio.ensure_future(exchange.send(LARGE, end=end == "half"))
        done, _ = await asyncio.wait([sending], timeout=0.05)
        assert not done
        if end == "stop":
            await connection.gone(within=0)
        elif end == "close":
            target.end.shutdown(socket.SHUT_WR)
        else:
            target.send({"response": OK, "violation": b"SSH-2.0\r\n\r\n", "half": OK[:-1]}[end])
        if end == "response":
            assert await exchange.read() == (b"ok", True)
            await exchange.send(b"that nobody needs any more")
        elif end == "half":
            assert await exchange.read() == (b"o", False)
        if end in ("response", "half"):
            exchange.cancel()
        await asyncio.wait_for(asyncio.wait([sending]), 10)
        assert (end == "response") == (sending.exception() is None)
        assert await target.rest() < len(LARGE)
        assert (owner.free, owner.left) == (0, 1)


async def test_a_request_goes_on_when_the_target_reads_and_a_body_with_a_length_has_no_trailers() -> None:
    async with connected() as (connection, owner, target):
        exchange = connection.open(POST._replace(headers=[(b"content-length", b"%d" % len(LARGE))]), "http")
        sending = asyncio.ensure_future(exchange.send(LARGE, end=True, trailers=[(b"x-sum", b"1")]))
        assert not (await asyncio.wait([sending], timeout=0.05))[0]
        reading = asyncio.ensure_future(target.rest())
        await asyncio.wait_for(sending, 10)
        target.send(OK)
        assert await exchange.read() == (b"ok", True)
        assert (owner.free, owner.left) == (1, 0)
        await connection.gone(within=600)
        assert await reading > len(LARGE)


async def test_what_nobody_reads_of_a_response_waits_at_the_target() -> None:
    async with connected() as (connection, owner, target):
        for body in (LARGE, b"x" * (BUFFER + 1), b"ok"):
            exchange = connection.open(GET, "http")
            response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(target.end, response))
            received, ended = b"", False
            if body is LARGE:
                for _ in range(2):
                    assert not (await asyncio.wait([sending], timeout=0.05))[0]
                    received += (await exchange.read())[0]
            else:
                await until(lambda: exchange.buffered == len(body))  # noqa: B023 (it is called at once)
            while not ended:
                data, ended = await exchange.read()
                received += data
            assert received == body
        assert (owner.free, owner.left) == (3, 0)


async def test_a_connection_has_one_request_at_a_time_and_ends_after_the_last_one() -> None:
    async with connected(requests=2) as (connection, owner, target):
        for count in (1, 2):
            exchange = connection.open(GET, "http")
            assert (connection.multiplexes, connection.most, connection.in_flight) == (False, 1, 1)
            head = asyncio.ensure_future(exchange.head())
            for part in (b"HTTP/1.1 100 Continue\r\n\r\n" + OK[:20], OK[20:]):
                target.send(part)
                await asyncio.sleep(0.01)
            assert await head == (200, [(b"content-length", b"2")])
            assert (owner.free, owner.left) == (count - 1, count - 1)
            assert await exchange.read() == (b"ok", True)
            assert connection.in_flight == 0
        assert await target.rest() > 0
        assert (owner.free, owner.left) == (1, 1)


@pytest.mark.parametrize("used", [False, True])
async def test_a_connection_that_nobody_uses_is_closed_and_a_request_may_take_longer(used: bool) -> None:
    async with connected(idle=0.02) as (connection, owner, target):
        if used:
            exchange = connection.open(GET, "http")
            await asyncio.sleep(0.05)
            assert owner.left == 0
            target.send(OK)
            assert await exchange.read() == (b"ok", True)
        await target.rest()
        assert owner.left == 1


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda connection, _: connection.eof_received(), "the target closed the connection before it answered"),
        (lambda connection, _: connection.connection_lost(None), "the target closed the connection before it answered"),
        (lambda connection, _: connection.connection_lost(OSError("why")), "the connection broke: why"),
        (lambda _, exchange: exchange.cancel(), "cancelled"),
    ],
)
async def test_a_connection_that_ends_takes_no_more_requests_from_then_on(end: Any, reason: str) -> None:
    async with connected() as (connection, owner, _):
        exchange = connection.open(GET, "http")
        end(connection, exchange)
        assert (connection.is_usable, owner.left) == (False, 1)
        with pytest.raises(ExchangeError, match=f"^{reason}$"):
            await exchange.head()


async def test_when_the_client_stops_a_connection_is_closed_and_no_body_looks_complete() -> None:
    async with connected() as (connection, _, target):
        exchange = connection.open(GET, "http")
        target.send(b"HTTP/1.1 200 OK\r\n\r\nha")
        assert await exchange.read() == (b"ha", False)
        await asyncio.wait_for(connection.gone(within=600), 10)
        assert target.ours.fileno() == -1
        with pytest.raises(ExchangeError, match=r"^the client has stopped$"):
            await exchange.read()


async def test_the_end_of_a_body_without_a_length_may_be_that_of_the_connection_alone() -> None:
    async with connected() as (connection, _, target):
        exchange = connection.open(GET, "http")
        target.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        assert await exchange.read() == (b"ok", False)
        # Over TLS, Python 3.10 tells no more than this.
        connection.connection_lost(None)
        assert await exchange.read() == (b"", True)


@pytest.mark.parametrize("how", ["a header that cannot be sent", "data too early", "data too late", "its end"])
async def test_a_connection_that_cannot_be_used_any_more_is_closed(how: str) -> None:
    async with connected() as (connection, owner, target):
        if how == "data too early":
            target.send(OK)
        elif how == "data too late":
            exchange = connection.open(GET, "http")
            target.send(OK + b"x")
            assert await exchange.read() == (b"ok", True)
            assert owner.left == 1
        elif how == "its end":
            # asyncio closes it then, but not at once.
            connection.eof_received()
            assert owner.left == 1
            target.end.shutdown(socket.SHUT_WR)
        else:
            connection.open(GET._replace(headers=[(b"x", b"a\x0cb")]), "http")
        await target.rest()
        assert owner.left == 1
