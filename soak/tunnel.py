"""Run the tunnel as a process: a real server and strangers call through it while its connections break."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from restate_identity.signing import RequestSigner
from soak.signing_server import signing_server
from soak.tally import Tally
from soak.traffic import judge_forged
from soak.watch import Memory, judge_log
from tests.support import ROOT
from tests.support.attacks import attacks
from tests.support.processes import started
from tests.support.restate_server import RestateServer
from tests.tunnel.dialling import until
from tests.tunnel.public import HARM, Public

CONNECTIONS = 3
CALLERS = 8
HARM_INTERVAL, REPORT_INTERVAL = 2.5, 20
# The fake cloud's answer if the tunnel's connection broke.
BAD_GATEWAY = 502
# After this many calls, the state of an object is read back and cleared.
CHAPTER = 20


def soak(seconds: float, tally: Tally, plants: str) -> str:
    """Call through the tunnel for some seconds; return its memory over time."""
    with signing_server() as (restate, signer, folder):
        return asyncio.run(_Soak(restate, signer, tally).run(seconds, folder, plants))


class _Soak:
    def __init__(self, restate: RestateServer, signer: RequestSigner, tally: Tally) -> None:
        self._restate = restate
        self._signer = signer
        self._tally = tally
        self._ends = 0.0

    async def run(self, seconds: float, folder: Path, plants: str) -> str:
        async with AsyncExitStack() as stack:
            public = self._public = await stack.enter_async_context(Public(CONNECTIONS))
            log = folder / "tunnel.log"
            child = stack.enter_context(
                started(
                    self._command(),
                    log=log,
                    cwd=ROOT,
                    env={**os.environ, **self._environment(), "SOAK_PLANT": plants},
                )
            )
            limits = httpx.Limits(max_connections=None)
            self._http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=60, limits=limits))
            self._stranger = await stack.enter_async_context(
                httpx.AsyncClient(trust_env=False, timeout=60, http1=False, http2=True)
            )
            await self._until_connected()
            url = f"{public.proxy_url}/http/in-process/9080"
            (await asyncio.to_thread(self._restate.register, url)).raise_for_status()
            memory = Memory("tunnel", child.pid)
            self._ends = time.monotonic() + seconds
            await asyncio.gather(
                *(self._call() for _ in range(CALLERS)), self._attack(url), self._harm(), self._watch(memory)
            )
            await self._until_connected()
        judge_log("tunnel", log, self._tally)
        return f"tunnel: memory, {memory.judge(self._tally)}"

    def _command(self) -> list[str]:
        servers = [part for server in self._public.servers for part in ("--server", server)]
        return [sys.executable, "-m", "restate_identity", "tunnel", *servers, "soak.tunnel_app:app"]

    def _environment(self) -> dict[str, str]:
        return {
            "RESTATE_INPROC_TUNNEL_NAME": "greeter",
            "RESTATE_INPROC_ENVIRONMENT_ID": "env_environment",
            "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(self._signer.public_key),
            "RESTATE_AUTH_TOKEN": "token-of-the-soak",
        }

    async def _until_connected(self) -> None:
        await until(lambda: len(self._public.in_use) == CONNECTIONS)

    async def _call(self) -> None:
        """Record numbers, chapter by chapter, and read each chapter back: none may be lost or recorded twice."""
        while time.monotonic() < self._ends:
            ledger = f"Ledger/{uuid.uuid4()}"
            booked = []
            for entry in range(CHAPTER):
                if time.monotonic() >= self._ends:
                    break
                if await self._invoke(f"{ledger}/book", entry) == entry:
                    booked.append(entry)
                nap = 20 * entry
                if await self._invoke("Greeter/nap", nap) != nap:
                    self._tally.violation("tunnel: a nap was answered with something else")
            if await self._invoke(f"{ledger}/entries") != booked:
                self._tally.violation("tunnel: an entry was lost, or is there twice")
            self._tally.count("tunnel: objects read back")

    async def _invoke(self, path: str, argument: object = None) -> object:
        try:
            response = await self._http.post(f"{self._restate.ingress_url}/{path}", json=argument)
        except httpx.TransportError as error:
            self._tally.violation(f"tunnel: an invocation failed: {type(error).__name__}")
            return None
        if response.status_code != 200:
            self._tally.violation(f"tunnel: an invocation was answered with {response.status_code}")
            return None
        self._tally.count("tunnel: invocations, done")
        answer: object = response.json()
        return answer

    async def _attack(self, url: str) -> None:
        """Send every attack of the demo through the tunnel."""
        while time.monotonic() < self._ends:
            for attack in attacks(self._signer):
                try:
                    status = (await self._stranger.post(url + attack.path, headers=list(attack.headers))).status_code
                except httpx.TimeoutException:
                    self._tally.violation(f"tunnel: {attack.what} was not answered")
                    continue
                except httpx.TransportError:
                    status = BAD_GATEWAY
                if status == BAD_GATEWAY:
                    self._tally.count("tunnel: hostile, cut off with its connection")
                else:
                    judge_forged(self._tally, "tunnel", attack.what, status)

    async def _harm(self) -> None:
        # Do each of them once, however short the time; then slow down, because a connection that serves less than 5 s
        # increases the waits between dials.
        for number, harm in enumerate(itertools.cycle(HARM)):
            await asyncio.sleep(HARM_INTERVAL if number >= len(HARM) else 0.5)
            if time.monotonic() >= self._ends and number >= len(HARM):
                return
            await self._until_connected()
            await self._public.harm(harm, self._public.in_use[number % CONNECTIONS])
            self._tally.count(f"tunnel: connections, {harm}")

    async def _watch(self, memory: Memory) -> None:
        for tick in itertools.count(1):
            memory.sample()
            await asyncio.sleep(1)
            if time.monotonic() >= self._ends:
                memory.sample()
                return
            if tick % REPORT_INTERVAL == 0:
                done = self._tally.counts["tunnel: invocations, done"]
                print(f"{tick:5} s  {done:9,} invocations  {self._tally.violations.total()} violations", flush=True)
