"""A client in its own process that keeps HTTP/2 connections busy and measures latencies, also those of a tunnel.

A tunnel dials this process, which is then the client on that connection, so that the same load runs both ways. It is
small on purpose, like `benchmarks.servers.load`: it encodes the request once, and reads only the heads of the frames of
an answer.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Callable
from time import perf_counter, perf_counter_ns
from typing import Any

from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY = b"{}"
WINDOW = 2**30
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM = ACK = 1
# With tables of no size the first byte of a header block is the status, if it is one of the static table.
STATUSES = {0x88: 200, 0x8D: 404, 0x8E: 500}
TABLE_SIZE_UPDATE = 0x20


class Line(asyncio.Protocol):
    """One connection on which this process is the client, whichever side dialled."""

    def __init__(self, connected: Callable[[Line], None]) -> None:
        self._connected = connected
        self._buffer = b""
        self._next_stream = 1
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._statuses: dict[int, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        settings = {SettingsFrame.HEADER_TABLE_SIZE: 0, SettingsFrame.INITIAL_WINDOW_SIZE: 2**20}
        frames = [SettingsFrame(0, settings), WindowUpdateFrame(0, WINDOW)]
        transport.write(PREFACE + b"".join(frame.serialize() for frame in frames))
        self._connected(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (the interface of asyncio)
        for answer in self._answers.values():
            answer.cancel()

    def request(self, block: bytes) -> asyncio.Future[int]:
        """Send a request; return a future of the status, which is set when the answer is complete."""
        stream_id = self._opened(block, BODY)
        return self._answers[stream_id]

    async def handshake(self) -> None:
        """Accept the tunnel that dialled us."""
        request = [(":method", "GET"), (":scheme", "https"), (":authority", "cloud"), (":path", "/_/start-tunnel")]
        stream_id = self._opened(_block(request))
        if await self._answers[stream_id] != 200:
            raise AssertionError("the tunnel did not introduce itself")
        outcome = [
            ("tunnel-status", "ok"),
            ("tunnel-name", "benchmark"),
            ("proxy-url", "https://x"),
            ("tunnel-url", "https://x"),
        ]
        flags = ["END_HEADERS", "END_STREAM"]
        self.transport.write(HeadersFrame(stream_id, _block(outcome), flags=flags).serialize())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= 9:
            high, low, kind, flags, stream_id = struct.unpack_from(">BHBBI", self._buffer, position)
            end = position + 9 + (high << 16 | low)
            if end > len(self._buffer):
                break
            self._frame(kind, flags, stream_id, self._buffer[position + 9 : end])
            position = end
        self._buffer = self._buffer[position:]

    def _opened(self, block: bytes, body: bytes = b"") -> int:
        stream_id, self._next_stream = self._next_stream, self._next_stream + 2
        self._answers[stream_id] = asyncio.get_running_loop().create_future()
        data = HeadersFrame(stream_id, block, flags=["END_HEADERS"]).serialize()
        if body:
            data += DataFrame(stream_id, body, flags=["END_STREAM"]).serialize()
        self.transport.write(data)
        return stream_id

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        answer: Frame | None = None
        if kind == HEADERS:
            self._statuses[stream_id] = STATUSES.get(payload.lstrip(bytes([TABLE_SIZE_UPDATE]))[0], 0)
        elif kind == SETTINGS and not flags & ACK:
            answer = SettingsFrame(0, flags=["ACK"])
        elif kind == PING and not flags & ACK:
            answer = PingFrame(0, payload, flags=["ACK"])
        if answer is not None:
            self.transport.write(answer.serialize())
        if kind in (DATA, HEADERS) and flags & END_STREAM and (waiting := self._answers.pop(stream_id, None)):
            waiting.set_result(self._statuses.pop(stream_id))


def _block(fields: list[tuple[str, str]]) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)


class Client:
    """Runs the commands of standard input."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Line]] = {}

    async def dial(self, name: str, port: int, connections: int) -> dict[str, Any]:
        """Connect to a server."""
        loop = asyncio.get_running_loop()
        lines = self._lines.setdefault(name, [])
        for _ in range(connections):
            await loop.create_connection(lambda: Line(lines.append), "127.0.0.1", port)
        return {"connected": len(lines)}

    async def listen(self, name: str, certificate: str | None = None) -> dict[str, Any]:
        """Accept tunnels on a port."""
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            tls.set_alpn_protocols(["h2"])
        lines = self._lines.setdefault(name, [])
        handshakes: set[asyncio.Task[None]] = set()

        async def let_in(line: Line) -> None:
            await line.handshake()
            lines.append(line)

        def connected(line: Line) -> None:
            task = asyncio.ensure_future(let_in(line))
            handshakes.add(task)
            task.add_done_callback(handshakes.discard)

        server = await asyncio.get_running_loop().create_server(
            lambda: Line(connected), "127.0.0.1", 0, ssl=tls, backlog=1000
        )
        return {"port": server.sockets[0].getsockname()[1]}

    async def wait(self, name: str, connections: int) -> dict[str, Any]:
        """Wait for this number of accepted tunnels."""
        while len(self._lines[name]) < connections:  # noqa: ASYNC110 (this is not timed)
            await asyncio.sleep(0.01)
        return {"connected": len(self._lines[name])}

    async def load(
        self, name: str, path: str, headers: list[tuple[str, str]], seconds: float, streams: int
    ) -> dict[str, Any]:
        """Keep *streams* requests open until the time is over."""
        lines = self._lines[name]
        request = [(":method", "POST"), (":scheme", "https"), (":authority", "cloud"), (":path", path)]
        block = _block([*request, *((name, value) for name, value in headers)])
        latencies: list[int] = []
        statuses: Counter[int] = Counter()
        start = perf_counter()
        end = start + seconds

        async def client(line: Line) -> None:
            while perf_counter() < end:
                sent = perf_counter_ns()
                statuses[await line.request(block)] += 1
                latencies.append(perf_counter_ns() - sent)

        await asyncio.gather(*(client(lines[number % len(lines)]) for number in range(streams)))
        count, elapsed = len(latencies), perf_counter() - start
        latencies.sort()
        return {
            "rate": count / elapsed,
            "p50": latencies[count // 2],
            "p99": latencies[count * 99 // 100],
            "statuses": statuses,
        }


async def main() -> None:
    """Run the commands on standard input, as JSON lines: the name of a method of `Client`, and its arguments."""
    client = Client()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command: dict[str, Any] = json.loads(line)
        answer = await getattr(client, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
