"""A client that keeps a server busy over HTTP/1.1 and measures what it waits for. It runs in a process of its own.

Small on purpose: it shares the machine with the server, and what it uses the server does not get.
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


def encoded(path: str, headers: list[tuple[str, str]], body: str = "{}") -> bytes:
    """Return the bytes of a POST request that keeps the connection open."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), f"content-length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def load(
    port: int, requests: Iterator[bytes], *, seconds: float, connections: int
) -> tuple[int, float, list[int], Counter[int]]:
    """Send *requests*, one after the other on each connection, until the time is over.

    Returns:
        How many were answered, in how many seconds, the latencies in nanoseconds, and how often each status came.
    """
    latencies: list[int] = []
    statuses: Counter[int] = Counter()
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    start = perf_counter()
    end = start + seconds

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At least once: on a machine that stalls, the time may be over before anything was sent.
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
    """Obey the JSON lines of standard input: keep a set of requests, or load a port with one of the sets."""
    sets: dict[str, Iterator[bytes]] = {}
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        if command["do"] == "keep":
            requests = [encoded(path, headers) for path, headers in command["requests"]]
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
