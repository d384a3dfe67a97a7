"""The demo's guarded services; every request is recorded in the file RECORDING before the guard sees it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from restate_identity.asgi import Receive, Scope, Send
from tests.support.services import app as guarded

RECORDING = Path(os.environ["RECORDING"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        _record(scope)
    await guarded(scope, receive, send)


def _record(scope: Scope) -> None:
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    with RECORDING.open("a") as recording:
        recording.write(json.dumps({"path": scope["path"], "headers": headers}) + "\n")
