"""A request in flight, and others on the same connection that must not harm it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame

from restate_identity.asgi import Message, Receive, Scope, Send
from tests.tunnel.cloud import PREFIX, Exchange, Line, StreamResetError
from tests.tunnel.dialling import Dialled, Held, serving, until

SLOW = f"{PREFIX}/slow"
OTHER = f"{PREFIX}/other"
PSEUDO = [(":method", "POST"), (":scheme", "https"), (":authority", "tunnel.test"), (":path", OTHER)]
FRAME_SIZE = 16 * 1024


class Neighbours:
    """Holds ``/slow`` until it is told to answer. Of what else is called it keeps all that it is told."""

    def __init__(self) -> None:
        self.held = Held()
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await self.held(scope, receive, send)
            return
        self.scopes.append(scope)
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                return
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@asynccontextmanager
async def beside_a_neighbour() -> AsyncIterator[tuple[Dialled, Line, Neighbours]]:
    """Give a connection with a request in flight. At the end of the block it is answered, and so is a new one."""
    app = Neighbours()
    async with serving(app) as (here, line):
        line.h2.config.normalize_outbound_headers = line.h2.config.validate_outbound_headers = False
        neighbour = line.open(SLOW, end=True)
        await until(lambda: app.held.entered == 1)
        yield here, line, app
        app.held.let_go()
        assert (await neighbour.whole()).body == b"late"
        await until(lambda: here.connection.in_flight == 0)
        assert (await line.request(OTHER)).status == 200
        assert (line.goaways, here.task.done()) == ([], False)


def opened_with(line: Line, fields: list[tuple[str, str]], *, ends: bool = False) -> Exchange:
    """Open a stream with fields that h2 would not send, in frames of 16 KiB."""
    stream_id = line.h2.get_next_available_stream_id()
    exchange = line.exchanges[stream_id] = Exchange(line, stream_id)
    # It has to know that there is such a stream.
    line.h2.send_headers(stream_id, [(":method", "GET")], end_stream=ends)
    line.h2.clear_outbound_data_buffer()
    # hpack takes minutes for the Huffman code of a large field.
    block = line.h2.encoder.encode(fields, huffman=False)
    pieces = [block[start : start + FRAME_SIZE] for start in range(0, len(block), FRAME_SIZE)]
    frames: list[Frame] = [HeadersFrame(stream_id, pieces[0], flags=["END_STREAM"] if ends else [])]
    frames += [ContinuationFrame(stream_id, piece) for piece in pieces[1:]]
    frames[-1].flags.add("END_HEADERS")
    line.raw(b"".join(frame.serialize() for frame in frames))
    return exchange


async def is_reset(exchange: Exchange, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
    """Wait until the tunnel has reset the stream, with this code."""
    with pytest.raises(StreamResetError) as error:
        await exchange.whole()
    assert error.value.args == (code,)
