"""A target that speaks HTTP/1.1 with raw bytes; a test decides which."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from tests.tunnel.dialling import until

Handler = Callable[["Peer"], Awaitable[object]]


class Peer:
    """The target's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heads: list[bytes] = []

    async def head(self) -> bytes:
        """Wait for the head of the next request; b"" if the connection ends instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.heads.append(head)
        return head

    async def body(self, head: bytes) -> bytes:
        """Wait for the body of the request with this head; chunks are joined, trailers are part of the result."""
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        if (length := lines.get(b"content-length")) is not None:
            return await self.reader.readexactly(int(length))
        if b"transfer-encoding" not in lines:
            return b""
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        while (line := await self.reader.readline()) != b"\r\n":
            body += line
        return body

    def send(self, data: bytes) -> None:
        self.writer.write(data)


class Http1Target:
    """A server on a free port of the loopback interface; *handler* is run for each connection, and closes it.

    Attributes:
        peers: Its end of each connection, in order.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._tasks: set[asyncio.Task[object]] = set()
        self.peers: list[Peer] = []

    async def __aenter__(self) -> Http1Target:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def origin(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def heads(self) -> list[bytes]:
        """The heads of all requests."""
        return [head for peer in self.peers for head in peer.heads]

    async def peer(self, index: int = 0) -> Peer:
        """Wait for the connection with this number; the first one is 0."""
        await until(lambda: len(self.peers) > index)
        return self.peers[index]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._handler(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has hung up
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._tasks.discard(task)
            writer.close()
