"""The port for probes: what it answers, and that nobody can hold it up."""

from __future__ import annotations

import asyncio

import pytest

from restate_identity._health_server import HealthServer
from tests.support.processes import free_port
from tests.tunnel.cloud import PATIENCE


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer


@pytest.mark.parametrize("request_", [b"", b"GET /health HTTP/1.1\r\nhost: a\r\n"])
async def test_who_asks_for_nothing_is_hung_up_on(request_: bytes) -> None:
    port = free_port()
    health = HealthServer(lambda: True, port, patience=0.2)
    await health.start()
    try:
        assert await asked(port, request_) == b""
        assert (await asked(port, b"GET /health HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    finally:
        health.close()


async def test_a_head_without_end_is_not_read_for_ever() -> None:
    port = free_port()
    health = HealthServer(lambda: True, port, patience=600)
    await health.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nx: " + b"a" * 1_000_000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), PATIENCE)
        writer.close()
    finally:
        health.close()
