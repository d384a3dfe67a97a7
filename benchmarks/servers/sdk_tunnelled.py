"""Serve one of the apps through the SDK's own tunnel, `restate.connect`, over one connection to a port: `… PORT`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from restate import connection
from restate._internal import TunnelEngineOptions  # type: ignore[import-not-found]  # a native module without stubs

from benchmarks.servers.served import app


class Options:
    """`TunnelEngineOptions`, as `connect` uses it. It takes the servers from DNS, and not from a variable."""

    @staticmethod
    def resolve(name: str | None, key: str | None) -> Any:
        return TunnelEngineOptions.resolve(name=name, key=key, servers=[f"http://127.0.0.1:{sys.argv[1]}"])


if __name__ == "__main__":
    os.environ |= {
        "RESTATE_INPROC_TUNNEL_NAME": "benchmark",
        "RESTATE_INPROC_ENVIRONMENT_ID": "env_benchmark",
        "RESTATE_INPROC_CLOUD_REGION": "eu",
        "RESTATE_INPROC_SIGNING_PUBLIC_KEY": os.environ["BENCHMARK_IDENTITY_KEY"],
        "RESTATE_AUTH_TOKEN": "token",
    }
    vars(connection)["TunnelEngineOptions"] = Options
    asyncio.run(connection.connect(app))
