"""The public side of the fake cloud: requests to `MOUNT` go through one of the lines of the tunnel."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from types import TracebackType

import h2.events
import h2.exceptions

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.forwarded_path import ForwardedPath
from restate_identity.tunnel.stream import ForwardedStream, asgi_scope, request_head
from restate_identity.tunnel.wire import Wire
from tests.tunnel.cloud import Exchange, Line, StreamResetError

MOUNT = "/environment/greeter"


class Public:
    """An HTTP/2 server in cleartext on a free port, from ``async with`` to the end of the block.

    Args:
        lines: Returns the connections of the tunnel; those that can take a request do so in turn.

    Attributes:
        forwarded: How many requests went to each line.
    """

    def __init__(self, lines: Callable[[], Iterable[Line]]) -> None:
        self._lines = lines
        self._turns = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wires: list[Wire] = []
        self.forwarded: dict[Line, int] = {}

    async def __aenter__(self) -> Public:
        self._server = await asyncio.get_running_loop().create_server(self._accepted, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.proxy_url = f"http://127.0.0.1:{port}{MOUNT}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for wire in self._wires:
            wire.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0)

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request (ASGI)."""
        target = (scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")).decode()
        line = self._next_line()
        if line is None or not target.startswith(MOUNT):
            await _refuse(send, 503)
            return
        self.forwarded[line] = self.forwarded.get(line, 0) + 1
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        exchange = line.open(
            target.removeprefix(MOUNT), [item for item in headers if item[0] != "host"], method=scope["method"]
        )
        request = asyncio.ensure_future(self._request(exchange, receive))
        try:
            try:
                response = await exchange.response()
            except StreamResetError:
                await _refuse(send, 502)
                return
            fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
            await send(
                {
                    "type": "http.response.start",
                    "status": int(response[":status"]),
                    "headers": [field for field in fields if field[0] != b":status"],
                }
            )
            async for part in exchange.parts():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            request.cancel()
            await asyncio.wait({request})

    async def _request(self, exchange: Exchange, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                if not exchange.over and not exchange.complete:
                    exchange.reset()
                return
            await exchange.send(message["body"], end=not message["more_body"])

    def _next_line(self) -> Line | None:
        usable = [line for line in self._lines() if line.in_use]
        return usable[next(self._turns) % len(usable)] if usable else None

    def _accepted(self) -> Wire:
        streams: dict[int, ForwardedStream] = {}

        def on_event(event: h2.events.Event) -> None:
            stream = streams.get(getattr(event, "stream_id", None) or 0)
            if isinstance(event, h2.events.RequestReceived):
                request = request_head(event.headers, ended=event.stream_ended is not None)
                path, _, query = request.target.partition(b"?")
                stream = streams[event.stream_id] = ForwardedStream(wire, event.stream_id, request)
                scope = asgi_scope(request, ForwardedPath(path, query))
                task = asyncio.ensure_future(stream.run(self.forward, scope, done))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif isinstance(event, h2.events.DataReceived):
                length = event.flow_controlled_length or 0
                if stream is None:
                    wire.credit(event.stream_id, length)
                else:
                    stream.received(event.data or b"", length)
            elif stream is not None and isinstance(event, h2.events.StreamEnded):
                stream.ended()
            elif stream is not None and isinstance(event, h2.events.StreamReset):
                stream.disconnected()

        def done(stream: ForwardedStream) -> None:
            streams.pop(stream.stream_id, None)

        def on_lost(_: str) -> None:
            for stream in list(streams.values()):
                stream.disconnected()

        wire = Wire(on_made=lambda: None, on_event=on_event, on_goaway=lambda _: wire.close(), on_lost=on_lost)
        self._wires.append(wire)
        return wire


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body"})
