"""Load a local port of the tunnel client: many callers, large bodies, slow and vanishing ones, a cloud that dies."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil

from restate_identity.signing import RequestSigner
from soak.tally import Tally
from soak.watch import MEBIBYTE, judge_log
from tests.support import ROOT
from tests.support.processes import free_port, started
from tests.support.servers import hypercorn, serve

LARGE = 5_000_000
SLOW = 2_000_000
MOST_MEMORY = 256 * MEBIBYTE
# In seconds: how long an API of the cloud lives, and how long it is away.
LIFE, AWAY = 6.0, 0.5


def soak(seconds: float, tally: Tally) -> str:
    """Call the port for some seconds; return the most memory that the client took."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ExitStack() as stack:
        api, port, log = free_port(), free_port(), Path(folder, "client.log")
        command = [sys.executable, "-m", "restate_identity", "tunnel-client", "--target", "http://nobody:9080"]
        child = stack.enter_context(
            started(command, log=log, cwd=ROOT, env={**os.environ, **_environment(api, port)}, patience=0)
        )
        soaked = _Soak(port, api, psutil.Process(child.pid), tally)
        asyncio.run(soaked.run(seconds))
        judge_log("local port", log, tally)
    if soaked.most > MOST_MEMORY:
        tally.violation(f"local port: it took {soaked.most / MEBIBYTE:.0f} MiB")
    return f"local port of the tunnel client: at most {soaked.most / MEBIBYTE:.1f} MiB"


def _environment(api: int, port: int) -> dict[str, str]:
    return {
        "RESTATE_TUNNEL_NAME": "greeter",
        "RESTATE_ENVIRONMENT_ID": "env_environment",
        "RESTATE_SIGNING_PUBLIC_KEY": str(RequestSigner.generate().public_key),
        "RESTATE_AUTH_TOKEN": "token-of-the-soak",
        # There is no tunnel server here: only the ports are loaded.
        "RESTATE_TUNNEL_SERVERS": f"http://127.0.0.1:{free_port()}",
        "RESTATE_INGRESS_URI": f"http://127.0.0.1:{api}",
        "RESTATE_ADMIN_URI": f"http://127.0.0.1:{api}",
        "RESTATE_INGRESS_SERVE_ADDRESS": f"127.0.0.1:{port}",
        "RESTATE_ADMIN_SERVE_ADDRESS": f"127.0.0.1:{free_port()}",
        "RESTATE_HEALTH_SERVE_ADDRESS": f"127.0.0.1:{free_port()}",
    }


class _Soak:
    def __init__(self, port: int, api: int, client: psutil.Process, tally: Tally) -> None:
        self.most = 0
        self._port = port
        self._api = api
        self._client = client
        self._tally = tally
        self._ends = 0.0

    async def run(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        work: list[Callable[[httpx.AsyncClient], Awaitable[None]]] = [
            *([self._small] * 8),
            self._large,
            *([self._slow] * 8),
            *([self._vanish] * 2),
        ]
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as http1,
            httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=60) as http2,
        ):
            cloud = asyncio.ensure_future(asyncio.to_thread(self._live_and_die))
            watching = asyncio.ensure_future(self._watch())
            await asyncio.gather(*(self._repeat(one, http) for one in work for http in (http1, http2)))
            watching.cancel()
            await cloud

    async def _repeat(self, work: Callable[[httpx.AsyncClient], Awaitable[None]], http: httpx.AsyncClient) -> None:
        while time.monotonic() < self._ends:
            try:
                await work(http)
            except (httpx.TransportError, OSError, asyncio.IncompleteReadError):
                # The cloud died, and the caller sees that the response is not whole.
                self._tally.count("local port: a response that broke off")
                await asyncio.sleep(0.05)

    async def _small(self, http: httpx.AsyncClient) -> None:
        body = b"%d" % random.getrandbits(64) * random.randint(1, 500)
        response = await http.post(self._url, content=body)
        self._judge(response.status_code, response.content == body, "a small body both ways")

    async def _large(self, http: httpx.AsyncClient) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(LARGE // 100_000):
                yield bytes([number % 251]) * 100_000

        async with http.stream("POST", self._url, content=parts()) as response:
            position, right = 0, True
            async for part in response.aiter_bytes():
                right = right and part[:1] == bytes([position // 100_000 % 251])
                position += len(part)
        self._judge(response.status_code, right and position == LARGE, "5 MB both ways")

    async def _slow(self, http: httpx.AsyncClient) -> None:  # noqa: ARG002 (it speaks for itself)
        """Send 2 MB and read nothing for a while, then everything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_HEAD % SLOW)
            sending = asyncio.ensure_future(self._send(writer, bytes(SLOW)))
            await asyncio.sleep(1)
            status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
            size = 0
            if status == 200:
                while length := int(await reader.readuntil(b"\r\n"), 16):
                    await reader.readexactly(length + 2)
                    size += length
            self._judge(status, size == SLOW, "a slow reader's body")
            sending.cancel()
        finally:
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        with suppress(OSError):
            writer.write(data)
            await writer.drain()

    async def _vanish(self, http: httpx.AsyncClient) -> None:  # noqa: ARG002 (it speaks for itself)
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(_HEAD % 1000 + bytes(random.randint(0, 999)))
        await asyncio.sleep(random.random() / 10)
        writer.transport.abort()
        self._tally.count("local port: a caller that vanished")

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}/echo"

    def _judge(self, status: int, whole: bool, what: str) -> None:
        if status == 502:
            self._tally.count("local port: a 502, since the cloud was away")
        elif status == 200 and whole:
            self._tally.count(f"local port: {what}")
        else:
            self._tally.violation(f"local port: {what}: {status}")

    def _live_and_die(self) -> None:
        while time.monotonic() < self._ends:
            with serve(*hypercorn("tests.tunnel.echoing:echo"), port=self._api) as api:
                time.sleep(min(LIFE, max(0.0, self._ends - time.monotonic())))
                psutil.Process(api.pid).kill()
            time.sleep(AWAY)

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, self._client.memory_info().rss)
            await asyncio.sleep(0.05)


_HEAD = b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"


if __name__ == "__main__":
    counted = Tally()
    print(soak(float(sys.argv[1]), counted))
    counted.print_counts()
    counted.print_violations()
