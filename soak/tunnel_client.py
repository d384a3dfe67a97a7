"""Run the stand-alone client as a process: a thousand streams, bodies of 50 MB, readers that do not read."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from h2.settings import SettingCodes

from restate_identity.signing import RequestSigner
from soak.tally import Tally
from soak.watch import MEBIBYTE, judge_log
from tests.support import ROOT
from tests.support.processes import started
from tests.support.servers import hypercorn, serve, uvicorn
from tests.tunnel.client.clients import HTTP1, forwarded
from tests.tunnel.cloud import Cloud, Exchange, Line

STREAMS = 1000
LARGE = 50_000_000
AT_ONCE = 8
SLOW = 200
PATH = "/invoke/Greeter/greet"
# 8 bodies of 50 MB at once, and 200 responses of 2 MB that nobody reads, are 400 MB each.
MOST_MEMORY = 256 * MEBIBYTE
GO = ROOT / "tests" / "tools" / "conformance" / "sdks" / "go"


def soak(seconds: float, tally: Tally) -> str:
    """Send requests through the client for some seconds; return the most memory it took."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return asyncio.run(_Soak(tally).run(seconds, Path(folder)))


class _Soak:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._signer = RequestSigner.generate()
        self._most = 0

    async def run(self, seconds: float, folder: Path) -> str:
        async with AsyncExitStack() as stack:
            services = [
                (f"http://127.0.0.1:{stack.enter_context(serve(*command)).port}", headers)
                for command, headers in (
                    (hypercorn("tests.tunnel.echoing:echo"), {}),
                    (uvicorn("tests.tunnel.echoing:echo"), HTTP1),
                )
            ]
            settings = {SettingCodes.INITIAL_WINDOW_SIZE: MEBIBYTE}
            cloud = await stack.enter_async_context(Cloud(settings=settings))
            go = self._go(stack, folder)
            targets = [origin for origin, _ in services] + ([go] if go else [])
            log = folder / "client.log"
            child = stack.enter_context(
                started(_command(cloud, targets), log=log, cwd=ROOT, env={**os.environ, **self._environment()})
            )
            line = await (await cloud.line(0)).accepted()
            line.h2.increment_flow_control_window(2**30)
            line.flush()
            watching = asyncio.ensure_future(self._watch(psutil.Process(child.pid)))
            ends = time.monotonic() + seconds
            rounds = 0
            while not rounds or time.monotonic() < ends:
                for origin, headers in services:
                    await self._many(line, origin, headers)
                    await self._large(line, origin, headers)
                    await self._slow(line, origin, headers)
                if go:
                    await self._discover(line, go)
                rounds += 1
            watching.cancel()
        judge_log("tunnel client", log, self._tally)
        if self._most > MOST_MEMORY:
            self._tally.violation(f"tunnel client: it took {self._most / MEBIBYTE:.0f} MiB")
        return f"tunnel client: at most {self._most / MEBIBYTE:.1f} MiB in {rounds} rounds"

    async def _many(self, line: Line, origin: str, headers: dict[str, str]) -> None:
        async def one(number: int) -> None:
            body = b"%d" % number * 1000
            response = await line.request(forwarded(origin, PATH), self._signed(headers), body=body)
            self._judge(response.status == 200 and response.body == body, "one of 1,000 streams at once")

        await asyncio.gather(*(one(number) for number in range(STREAMS)))

    async def _large(self, line: Line, origin: str, headers: dict[str, str]) -> None:
        body = bytes(range(250)) * (LARGE // 250)

        async def one() -> None:
            exchange = line.open(forwarded(origin, PATH), self._signed(headers))
            sending = asyncio.ensure_future(exchange.send(body, end=True))
            position = 0
            async for part in exchange.parts():
                if body[position : position + len(part)] != part:
                    break
                position += len(part)
            await sending
            self._judge(position == LARGE, "50 MB both ways")

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    async def _slow(self, line: Line, origin: str, headers: dict[str, str]) -> None:
        """Send 2 MB each and read nothing, while others go on; then read it all."""
        body = bytes(2 * MEBIBYTE)
        exchanges: list[Exchange] = []
        for _ in range(SLOW):
            exchange = line.open(forwarded(origin, PATH), self._signed(headers))
            exchange.hold = True
            exchanges.append(exchange)
        sending = [asyncio.ensure_future(exchange.send(body, end=True)) for exchange in exchanges]
        await asyncio.sleep(3)
        response = await line.request("/_/health", method="GET")
        self._judge(response.status == 200, "health beside slow readers")
        for exchange, task in zip(exchanges, sending, strict=True):
            exchange.hold = False
            size = sum([len(part) async for part in exchange.parts()])
            await task
            self._judge(size == len(body), "a slow reader's body")

    async def _discover(self, line: Line, origin: str) -> None:
        accept = {"accept": "application/vnd.restate.endpointmanifest.v3+json", **HTTP1}
        headers = [*self._signer.headers("/discover").items(), *accept.items()]
        response = await line.request(forwarded(origin, "/discover"), headers, method="GET")
        self._judge(response.status == 200 and b"Greeter" in response.body, "discovery of the Go SDK, which verifies")

    def _go(self, stack: AsyncExitStack, folder: Path) -> str | None:
        """Start a service of the Go SDK, which verifies the signature once more."""
        if shutil.which("go") is None:
            print("left out, because there is no go: a service of the Go SDK behind the tunnel client", flush=True)
            return None
        service = folder / "go-service"
        subprocess.run(["go", "build", "-o", service, "."], cwd=GO, check=True, timeout=600)
        command = (os.fspath(service), "127.0.0.1:{port}", str(self._signer.public_key))
        return f"http://127.0.0.1:{stack.enter_context(serve(*command, patience=0)).port}"

    async def _watch(self, process: psutil.Process) -> None:
        while True:
            self._most = max(self._most, process.memory_info().rss)
            await asyncio.sleep(0.05)

    def _judge(self, good: bool, what: str) -> None:
        if good:
            self._tally.count(f"tunnel client: {what}")
        else:
            self._tally.violation(f"tunnel client: {what}")

    def _signed(self, headers: dict[str, str]) -> list[tuple[str, str]]:
        return [*self._signer.headers(PATH).items(), *headers.items()]

    def _environment(self) -> dict[str, str]:
        return {
            "RESTATE_TUNNEL_NAME": "greeter",
            "RESTATE_ENVIRONMENT_ID": "env_environment",
            "RESTATE_SIGNING_PUBLIC_KEY": str(self._signer.public_key),
            "RESTATE_AUTH_TOKEN": "token-of-the-soak",
            "RESTATE_REMOTE_PROXY": "false",
            "RESTATE_HEALTH_SERVE_ADDRESS": "127.0.0.1:0",
        }


def _command(cloud: Cloud, targets: list[str]) -> list[str]:
    options = [part for target in targets for part in ("--target", target)]
    server = ["--server", str(cloud.target)]
    return [sys.executable, "-m", "restate_identity", "tunnel-client", *server, *options]


if __name__ == "__main__":
    counted = Tally()
    print(soak(float(sys.argv[1]), counted))
    counted.print_counts()
    counted.print_violations()
