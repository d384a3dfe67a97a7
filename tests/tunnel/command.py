"""A command of the tunnel that runs as a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support import ROOT

# A Python process starts within seconds, on a busy machine too.
PATIENCE = 60.0


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", **variables}


@asynccontextmanager
async def started(
    *command: str, log: Path, env: Mapping[str, str], cwd: Path = ROOT
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run *command* with its output in *log*, until the end of the block at the latest."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass
class Process:
    process: asyncio.subprocess.Process
    log: Path
    health_url: str
    released: Path

    async def health(self) -> int | None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            try:
                return (await http.get(self.health_url)).status_code
            except httpx.TransportError:
                return None

    async def until_healthy(self, status: int) -> None:
        while await self.health() != status:
            assert self.process.returncode is None, self.printed()
            await asyncio.sleep(0.05)

    async def until_printed(self, text: str) -> None:
        while text not in self.printed():
            assert self.process.returncode is None, self.printed()
            await asyncio.sleep(0.02)

    def printed(self) -> str:
        return self.log.read_text()
