"""What the sockets of the tunnel client are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from restate_identity.tunnel.client.tcp import hold_little, keep_alive, reset


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.WriteTransport, socket.socket]]:
    """Give both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop, port = asyncio.get_running_loop(), server.getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        with server.accept()[0] as peer:
            peer.settimeout(10)
            yield transport, peer
            transport.abort()
            await asyncio.sleep(0)


@pytest.mark.parametrize("missing", [None, "TCP_KEEPIDLE"])
async def test_a_target_is_asked_within_two_minutes_whether_it_is_still_there(
    monkeypatch: pytest.MonkeyPatch, missing: str | None
) -> None:
    asked_of = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    if missing:
        monkeypatch.delattr(socket, missing)
    async with connected() as (transport, _):
        found = transport.get_extra_info("socket")
        usual = found.getsockopt(socket.IPPROTO_TCP, asked_of[0])
        keep_alive(transport)
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        first = usual if missing else 60
        assert [found.getsockopt(socket.IPPROTO_TCP, option) for option in asked_of] == [first, 15, 4]


async def test_the_kernel_takes_little_that_it_cannot_send(monkeypatch: pytest.MonkeyPatch) -> None:
    option = socket.TCP_NOTSENT_LOWAT
    async with connected() as (transport, _):
        hold_little(transport)
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, option) == 64 * 1024
        monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
        hold_little(transport)


async def test_a_transport_without_a_socket_is_told_nothing() -> None:
    keep_alive(asyncio.Transport())
    hold_little(asyncio.Transport())


async def test_a_reset_is_no_end() -> None:
    async with connected() as (transport, peer):
        transport.write(b"half")
        assert peer.recv(4) == b"half"
        reset(transport)
        await asyncio.sleep(0)
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
