"""Serve one of the apps over connections that this process dials, as a tunnel does: `… PORT CONNECTIONS [CERTIFICATE]`.

Prints the resident memory of this process when half of the connections serve, and again when all do.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys

from benchmarks.flood import resident
from benchmarks.servers.served import app
from restate_identity.tunnel.connection import Connection
from restate_identity.tunnel.handshake import Credentials
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.targets import Target

CREDENTIALS = Credentials("env_benchmark", "benchmark", "worker", lambda: "token")


async def main(port: int, connections: int, certificate: str | None = None) -> None:
    """Serve until this process ends."""
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    target = Target("127.0.0.1", port, tls is not None, "localhost")
    running = []
    for count in (connections // 2, connections - connections // 2):
        for _ in range(count):
            serves = asyncio.Event()
            connection = Connection(
                target,
                Outlet(app, CREDENTIALS, tls=tls),
                on_accepted=lambda _, serves=serves: serves.set(),  # type: ignore[misc]  # mypy does not see the type
                on_drain=lambda: None,
            )
            running.append(asyncio.ensure_future(connection.run()))
            await serves.wait()
        gc.collect()
        print(json.dumps({"connections": len(running), "rss": resident()}), flush=True)
    await asyncio.wait(running)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
