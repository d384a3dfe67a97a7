"""A Restate service endpoint that records every signed request, and serves the recording."""

from __future__ import annotations

import json
import time
from typing import Any

import restate

from benchmarks.servers.apps import Receive, Scope, Send

echo = restate.Service("Echo")
account = restate.VirtualObject("Account")


@echo.handler()
async def say(ctx: restate.Context, words: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 (the SDK passes it)
    return words


@account.handler()
async def touch(ctx: restate.ObjectContext, words: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    return words


_endpoint = restate.app(services=[echo, account])
_notes: list[tuple[float, str, str]] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Record the request and serve it; answer `/notes` with all recorded requests as JSON."""
    if scope["type"] == "http" and scope["path"] == "/notes":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(_notes).encode()})
        return
    for name, value in scope.get("headers", ()):
        if name == b"x-restate-jwt-v1":
            _notes.append((time.time(), scope["path"], value.decode()))
    await _endpoint(scope, receive, send)
