"""A client in its own process that keeps a server busy over HTTP/1.1 and measures latencies.

It is small on purpose, because it shares the processor with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from time import perf_counter, perf_counter_ns
from typing import Any


def encoded(path: str, headers: list[tuple[str, str]], body: bytes = b"{}") -> bytes:
    """Return the bytes of a POST request that keeps the connection open."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), f"content-length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def load(
    port: int, requests: Iterator[bytes], *, seconds: float, connections: int
) -> tuple[int, float, list[int], Counter[int]]:
    """Send *requests*, one after the other on each connection, until the time is over.

    Returns:
        The number of answers, the seconds, the latencies in nanoseconds, and the number of answers by status.
    """
    latencies: list[int] = []
    statuses: Counter[int] = Counter()
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    start = perf_counter()
    end = start + seconds

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At least one request: on a machine that stalls, the time may be over before the first one.
        while True:
            sent = perf_counter_ns()
            writer.write(next(requests))
            statuses[await _answer(reader)] += 1
            latencies.append(perf_counter_ns() - sent)
            if perf_counter() >= end:
                return

    await asyncio.gather(*(client(reader, writer) for reader, writer in streams))
    elapsed = perf_counter() - start
    for _, writer in streams:
        writer.close()
    return len(latencies), elapsed, latencies, statuses


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        _, found, rest = lower.partition(b"content-length:")
        await reader.readexactly(int(rest.split(b"\r\n", 1)[0]) if found else 0)
    return int(head[9:12])


def main() -> None:
    """Run the commands on standard input, as JSON lines: store a set of requests, or load a port with a set."""
    sets: dict[str, Iterator[bytes]] = {}
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        if command["do"] == "keep":
            body = bytes.fromhex(command["body"])
            requests = [encoded(path, headers, body) for path, headers in command["requests"]]
            sets[command["set"]] = itertools.cycle(requests)
            answer: dict[str, Any] = {"kept": len(requests)}
        else:
            count, elapsed, latencies, statuses = asyncio.run(
                load(
                    command["port"],
                    sets[command["set"]],
                    seconds=command["seconds"],
                    connections=command["connections"],
                )
            )
            latencies.sort()
            answer = {
                "rate": count / elapsed,
                "p50": latencies[count // 2],
                "p99": latencies[count * 99 // 100],
                "statuses": statuses,
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
