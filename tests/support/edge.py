"""A service that notes what reaches it, and an edge that can be slowed down or broken, for proxies between the two.

Both run in threads of this process, so that a test sees what they see.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import h2.events
import hypercorn.asyncio
import hypercorn.config
import uvicorn
from hypercorn.protocol.h2 import H2Protocol

from restate_identity import IdentityVerifier
from restate_identity.asgi import Receive, Scope, Send
from restate_identity.edge import EdgeApplication
from restate_identity.edge.listening import server_config
from restate_identity.signing import RequestSigner
from tests.support.edge_proxies import PREFIX
from tests.support.processes import free_port
from tests.support.servers import thread_that_serves


@dataclass
class Received:
    """A request as the service saw it."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    http_version: str  # or "websocket"

    def values(self, name: str) -> list[str]:
        return [value.decode() for key, value in self.headers if key.decode().lower() == name]


@dataclass
class Service:
    """An ASGI application that echoes each piece of a body as it arrives."""

    port: int
    received: list[Received] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        version = scope["http_version"] if scope["type"] == "http" else scope["type"]
        self.received.append(Received(target, list(scope["headers"]), version))
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            if message.get("body"):
                await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Edge:
    """An `EdgeApplication` in front of which a test can stand: it may hold every answer, or give another."""

    def __init__(self, behind: str, signer: RequestSigner, port: int) -> None:
        self.verifier = IdentityVerifier([str(signer.public_key)])
        self.port = port
        self.status: int | None = None
        self.held = threading.Event()
        self.held.set()
        self.asked: list[list[tuple[bytes, bytes]]] = []
        self._application = EdgeApplication(behind=behind, prefix=PREFIX, verifier=self.verifier)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(list(scope["headers"]))
        # A threading.Event, because a test sets it from another thread.
        while not self.held.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self.status is None:
            await self._application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def running_service() -> Iterator[Service]:
    """Serve a `Service` over HTTP/2 without TLS (and HTTP/1.1)."""
    port = free_port()
    service = Service(port)
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    handle = H2Protocol._handle_events

    async def note_trailers(protocol: H2Protocol, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.TrailersReceived):
                service.trailers += [(name.decode(), value.decode()) for name, value in event.headers]
        await handle(protocol, events)

    def run() -> None:
        asyncio.set_event_loop(loop)
        serving = hypercorn.asyncio.serve(service, config, shutdown_trigger=stop.wait, mode="asgi")  # type: ignore[arg-type]
        loop.run_until_complete(serving)
        loop.close()

    # hypercorn drops the trailers of requests.
    with patch.object(H2Protocol, "_handle_events", note_trailers), thread_that_serves(run, port):
        try:
            yield service
        finally:
            loop.call_soon_threadsafe(stop.set)


@contextmanager
def running_edge(behind: str, signer: RequestSigner, port: int | None = None) -> Iterator[Edge]:
    """Serve an `Edge` as the command does, on a free port by default."""
    port = port or free_port()
    edge = Edge(behind, signer, port)
    config = server_config(edge, behind)
    config.port = port
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    with thread_that_serves(server.run, port):
        try:
            yield edge
        finally:
            server.should_exit = True
