"""The port for probes: what it answers, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

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


def answer(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "cache-control: no-store", "connection: close", "", ""]).encode() + body


async def hung_up_on(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE) == b""
    except ConnectionResetError:
        return True


@asynccontextmanager
async def health(is_serving: Callable[[], bool] = lambda: True, **options: Any) -> AsyncIterator[int]:
    """Run the server, and give its port."""
    port = free_port()
    server = HealthServer(is_serving, port, **options)
    await server.start()
    try:
        yield port
    finally:
        server.close()


async def test_it_answers_health_and_pages_and_nothing_else() -> None:
    serving = True
    async with health(lambda: serving, pages={"/page": lambda: ("text/plain", b"page")}) as port:
        for path in ("/health", "/health?a=b"):
            assert await asked(port, f"GET {path} HTTP/1.1\r\n\r\n".encode()) == answer(
                "200 OK", b'{"status":"serving"}'
            )
        whole = answer("200 OK", b'{"status":"serving"}')
        assert await asked(port, b"HEAD /health HTTP/1.1\r\n\r\n") == whole.partition(b"{")[0]
        assert await asked(port, b"GET /page HTTP/1.1\r\n\r\n") == answer("200 OK", b"page", "text/plain")
        for path in ("/", "/a", "/z", "/healthy", "/healt"):
            assert await asked(port, f"GET {path} HTTP/1.1\r\n\r\n".encode()) == answer("404 Not Found", b"")
        assert await asked(port, b"POST /health HTTP/1.1\r\n\r\n") == answer("405 Method Not Allowed", b"")
        serving = False
        expected = answer("503 Service Unavailable", b'{"status":"not serving"}')
        assert await asked(port, b"GET /health HTTP/1.1\r\n\r\n") == expected


async def test_64_connections_are_held_at_a_time_and_the_oldest_makes_room_for_another() -> None:
    async with health(patience=600) as port:
        patient, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(65):
            assert await asked(port, b"GET /health HTTP/1.1\r\n\r\n")
        assert not patient.at_eof()  # because the others have ended
        writer.close()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        assert await asked(port, b"GET /health HTTP/1.1\r\n\r\n")
        oldest, _ = silent[0]
        assert await hung_up_on(oldest)
        assert not any(reader.at_eof() for reader, _ in silent[1:])
        silent += [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        for reader, _ in silent[1:64]:
            assert await hung_up_on(reader)
        assert not any(reader.at_eof() for reader, _ in silent[64:])
        for _, writer in silent:
            writer.close()


async def test_who_does_not_read_a_long_page_is_hung_up_on() -> None:
    async with health(pages={"/page": lambda: ("text/plain", bytes(50_000_000))}, patience=0.2) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /page HTTP/1.1\r\n\r\n")
            await asyncio.sleep(1)
            client.setblocking(False)
            loop, received = asyncio.get_running_loop(), 0
            while part := await asyncio.wait_for(loop.sock_recv(client, 1_000_000), PATIENCE):
                received += len(part)
            assert received < 50_000_000


@pytest.mark.parametrize("request_", [b"", b"GET /health HTTP/1.1\r\nhost: a\r\n"])
async def test_who_asks_for_nothing_is_hung_up_on(request_: bytes) -> None:
    async with health(patience=0.2) as port:
        assert await asked(port, request_) == b""
        assert (await asked(port, b"GET /health HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


async def test_a_head_without_end_is_not_read_for_ever() -> None:
    async with health(patience=600) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nx: " + b"a" * 1_000_000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), PATIENCE)
        writer.close()
