"""The endpoints for tests of the probe: one with this library, those of the SDKs, and one that is open to all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.probed.typescript import installed_service
from tests.support.processes import free_port
from tests.support.servers import Server, hypercorn, serve

NODE = shutil.which("node") or "node"

ENDPOINTS: dict[str, Callable[[], tuple[str, ...]]] = {
    "this library": lambda: hypercorn("integrations.restate_sdk.app:app"),
    "Python SDK": lambda: hypercorn("tests.support.probed.sdk_app:native"),
    "TypeScript SDK": lambda: (NODE, str(installed_service() / "service.mjs")),
    "no verifier": lambda: hypercorn("tests.support.probed.sdk_app:unguarded"),
}


def served(command: tuple[str, ...], key: str, log: Path | None = None) -> AbstractContextManager[Server]:
    """Run an endpoint that trusts *key*."""
    port = free_port()
    env = {"RESTATE_IDENTITY_KEYS": key, "PORT": str(port)}
    # The SDK takes SIGTERM away from its server, and nothing of it is kept: it is killed.
    return serve(*command, env=env, identity_key=key, port=port, log=log, patience=0.0)
