"""One of the apps, for a server to import; the environment names the app, the key and what checks signatures."""

from __future__ import annotations

import logging
import os

from benchmarks.servers.apps import App, bare, behind_native_check, reading
from restate_identity import ED25519_IMPLEMENTATION, PublicKey
from restate_identity.asgi import RequestIdentityMiddleware


def _chosen(name: str) -> App:
    keys = [PublicKey.parse(os.environ["BENCHMARK_IDENTITY_KEY"])]
    if name == "guarded":
        return RequestIdentityMiddleware(bare, identity_keys=keys)
    if name == "guarded-reading":
        return RequestIdentityMiddleware(reading, identity_keys=keys)
    if name == "native":
        return behind_native_check(bare, keys)
    if name == "handler":
        # Imported here, so that the SDK is no part of the other apps.
        from benchmarks.servers.sdk_handler import handler

        return handler
    if name == "reading":
        return reading
    return bare


if os.environ["BENCHMARK_ED25519"] != ED25519_IMPLEMENTATION:
    raise RuntimeError(f"signatures would be checked by {ED25519_IMPLEMENTATION}")
# The benchmark sends a forged request on purpose; its refusal should not appear among the tables.
logging.getLogger("restate_identity").setLevel(logging.CRITICAL)
app = _chosen(os.environ["BENCHMARK_APP"])
