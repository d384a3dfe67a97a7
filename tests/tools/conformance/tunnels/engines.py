"""Start the two tunnels, each as a process that serves `tests.tunnel.echoing.echo`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support import ROOT
from tests.support.processes import last_lines, started
from tests.tunnel.cloud import Cloud
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import SIGNER

# The time for requests in flight to finish after SIGTERM.
GRACE = 1.0


class Engine(NamedTuple):
    """A tunnel.

    Attributes:
        module: The program.
        asks: Whether it can be told which name server to ask.
    """

    name: str
    module: str
    asks: bool


OURS = Engine("this project", "tests.tools.conformance.tunnels.serve_ours", asks=True)
SDK = Engine(f"restate.connect {version('restate-sdk')}", "tests.tools.conformance.tunnels.serve_sdk", asks=False)


class Running:
    """An engine's process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def stop(self) -> None:
        """Send SIGTERM."""
        self._child.send_signal(signal.SIGTERM)

    async def status(self, patience: float) -> int | None:
        """Wait for the process to end, and return its status; None if it does not."""
        give_up_at = time.monotonic() + patience
        while self._child.poll() is None and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return self._child.poll()


@asynccontextmanager
async def running(
    engine: Engine, *clouds: Cloud, nameserver: int = 0, authority: bytes = b""
) -> AsyncIterator[Running]:
    """Start *engine*, which dials *clouds*, or what the name server on that port knows; end it with the block.

    Args:
        authority: The certificate of the authority to trust.
    """
    told = {"servers": [str(cloud.target) for cloud in clouds], "nameserver": nameserver, "grace": GRACE}
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")},
        # The operator's variables, and the token.
        "RESTATE_INPROC_TUNNEL_NAME": "greeter",
        "RESTATE_INPROC_ENVIRONMENT_ID": "env_123",
        "RESTATE_INPROC_CLOUD_REGION": "eu",
        "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(SIGNER.public_key),
        "RESTATE_AUTH_TOKEN": TOKEN,
        "ENGINE": json.dumps({**told, "authority": authority.decode()}),
    }
    with TemporaryDirectory(prefix="tunnel-") as folder:
        log = Path(folder, "log")
        try:
            with started([sys.executable, "-m", engine.module], log=log, env=env, cwd=ROOT, patience=0) as child:
                yield Running(child)
        except BaseException:
            print(f"{engine.name} said last:\n{last_lines(log)}", file=sys.stderr)
            raise
