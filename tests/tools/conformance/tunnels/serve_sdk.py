"""Run the SDK's unchanged `connect` until SIGTERM, with our servers, which it cannot take from a variable."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from restate import connection
from restate._internal import TunnelEngineOptions  # type: ignore[import-not-found]  # a native module without stubs

from tests.tunnel.echoing import echo


class Options:
    """`TunnelEngineOptions`, as `connect` uses it."""

    @staticmethod
    def resolve(name: str | None, key: str | None) -> Any:
        return TunnelEngineOptions.resolve(name=name, key=key, servers=json.loads(os.environ["ENGINE"])["servers"])


if __name__ == "__main__":
    vars(connection)["TunnelEngineOptions"] = Options
    connection.SIGNAL_SHUTDOWN_GRACE_SECONDS = json.loads(os.environ["ENGINE"])["grace"]
    asyncio.run(connection.connect(echo))
