"""A peer that sends nothing but overhead loses its connection, and is told to calm down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.connection import EndingKind
from restate_identity.tunnel.floods import FloodError, FloodGauge
from restate_identity.tunnel.frames import FrameHead, FrameReader, FrameType, GoAway
from tests.tunnel.cloud import Line
from tests.tunnel.dialling import ECHO, Held, run, serving, until

MANY = 25_000
FIRST_STREAM = 3  # the first one is the handshake's
REQUEST = [(":method", "POST"), (":scheme", "https"), (":authority", "tunnel.test"), (":path", ECHO)]


def _request_block() -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(REQUEST)


def resets() -> Iterable[Frame]:
    block = _request_block()
    for number in range(MANY):
        stream_id = FIRST_STREAM + 2 * number
        yield HeadersFrame(stream_id, block, flags=["END_HEADERS"])
        yield RstStreamFrame(stream_id, ErrorCodes.CANCEL)


def settings() -> Iterable[Frame]:
    return (SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 2**14}) for _ in range(MANY))


def settings_that_were_not_asked_for() -> Iterable[Frame]:
    return (SettingsFrame(0, flags=["ACK"]) for _ in range(MANY))


def pings() -> Iterable[Frame]:
    return (PingFrame(0, b"12345678") for _ in range(MANY))


def empty_data() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, _request_block(), flags=["END_HEADERS"])
    for _ in range(MANY):
        yield DataFrame(FIRST_STREAM)


def empty_headers() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, b"")
    for _ in range(MANY):
        yield ContinuationFrame(FIRST_STREAM, b"")


def continuations() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, _request_block())
    for _ in range(MANY):
        yield ContinuationFrame(FIRST_STREAM, b"x" * 16)


def an_endless_header_block() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, b"x" * 60_000)
    for _ in range(10):
        yield ContinuationFrame(FIRST_STREAM, b"x" * 60_000)


def priorities() -> Iterable[Frame]:
    return (PriorityFrame(FIRST_STREAM, depends_on=0, stream_weight=1, exclusive=False) for _ in range(MANY))


def frames_of_no_known_type() -> Iterable[Frame]:
    return (ExtensionFrame(0xFA, 0, flag_byte=0, body=b"") for _ in range(MANY))


def a_frame_that_is_too_large() -> Iterable[Frame]:
    yield DataFrame(FIRST_STREAM, b"x" * (2**16 + 1))


FLOODS: list[tuple[Callable[[], Iterable[Frame]], str]] = [
    (resets, "more than 500 streams reset as soon as they were opened"),
    (settings, "more than 100 SETTINGS frames"),
    (settings_that_were_not_asked_for, "more than 1000 empty frames"),
    (pings, "more than 1000 PING frames"),
    (empty_data, "more than 1000 empty frames"),
    (empty_headers, "a header block of 18 frames and 0 bytes"),
    (continuations, "a header block of 18 frames"),
    (an_endless_header_block, "a header block of 3 frames and 180000 bytes"),
    (priorities, "more than 1000 PRIORITY frames"),
    (frames_of_no_known_type, "more than 1000 frames of unknown types"),
    (a_frame_that_is_too_large, "a frame of 65537 bytes"),
]


async def pour(line: Line, flood: Callable[[], Iterable[Frame]]) -> None:
    data = b"".join(frame.serialize() for frame in flood())
    line.raw(data)
    await line.ended()


@pytest.mark.parametrize(("flood", "what"), FLOODS, ids=[flood.__name__ for flood, _ in FLOODS])
def test_a_flood_ends_the_connection(flood: Callable[[], Iterable[Frame]], what: str) -> None:
    async def test() -> None:
        async with serving() as (here, line):
            await pour(line, flood)
            ending = await here.ending()
            assert ending.kind is EndingKind.RETRY
            assert f"the server sent {what}" in ending.reason
            assert [code for _, code in line.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]

    run(test())


def test_resets_are_a_flood_too_when_the_application_keeps_up_with_them() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def test() -> None:
        async with serving(app) as (here, line):
            frames = [frame.serialize() for frame in resets()]
            for start in range(0, len(frames), 100):
                if line.lost:
                    break
                line.raw(b"".join(frames[start : start + 100]))
                await asyncio.sleep(0.005)
            ending = await here.ending()
            assert "streams reset as soon as they were opened" in ending.reason

    run(test())


def test_a_header_list_that_unpacks_to_far_too_much_ends_the_connection() -> None:
    async def test() -> None:
        async with serving() as (here, line):
            encoder = Encoder()
            block = encoder.encode([*REQUEST, ("x-large", "x" * 4000)])
            # One byte each from now on.
            block += encoder.encode([("x-large", "x" * 4000)]) * 200
            line.raw(HeadersFrame(FIRST_STREAM, block, flags=["END_HEADERS"]))
            ending = await here.ending()
            assert ending.kind is EndingKind.RETRY
            await line.ended()
            assert [code for _, code in line.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]

    run(test())


@pytest.mark.parametrize(("length", "what"), [(16, "CONTINUATION frames"), (0, "empty frames")])
def test_frames_of_many_small_header_blocks_are_counted_together(length: int, what: str) -> None:
    gauge = FloodGauge()
    gauge.at(0)

    def blocks() -> None:
        for stream in range(1, 1000, 2):
            gauge.frame(FrameHead(FrameType.HEADERS, 0, stream, length))
            for _ in range(8):
                gauge.frame(FrameHead(FrameType.CONTINUATION, 0, stream, length))

    with pytest.raises(FloodError, match=f"more than 1000 {what} in a second"):
        blocks()


def test_an_answer_makes_up_for_a_reset() -> None:
    gauge = FloodGauge()
    gauge.at(0)
    for _ in range(5000):
        gauge.completed()
        gauge.reset()
    for _ in range(500):
        gauge.reset()
    with pytest.raises(FloodError, match="more than 500 streams reset"):
        gauge.reset()


def test_as_many_resets_as_answers_are_no_flood() -> None:
    async def test() -> None:
        async with serving() as (here, line):
            for _ in range(15):
                await asyncio.gather(*(line.request(ECHO) for _ in range(50)))
                for _ in range(50):
                    line.open(ECHO).reset()
            assert (await line.request(ECHO)).status == 200
            assert not here.task.done()

    run(test())


def test_giving_up_everything_that_runs_is_no_flood() -> None:
    async def test() -> None:
        app = Held()
        async with serving(app) as (here, line):
            await line.until(lambda: line.settings_known)
            exchanges = [line.open(ECHO, end=True) for _ in range(1000)]
            await until(lambda: app.entered == 1000)
            await asyncio.sleep(1.1)  # they are not young any more
            for exchange in exchanges:
                exchange.reset()
            assert (await line.request("/_/health", method="GET")).status == 200
            assert not here.task.done()
            app.let_go()
            await until(lambda: here.connection.in_flight == 0)

    run(test())


@pytest.mark.parametrize(
    ("frame", "limit", "name"), [(PingFrame(0), 1000, "PING"), (WindowUpdateFrame(0, 1), 20_000, "WINDOW_UPDATE")]
)
def test_the_limits_are_for_each_second(frame: Frame, limit: int, name: str) -> None:
    gauge = FloodGauge()
    head = FrameHead(frame.type or 0, 0, 0, 8)
    for second in range(3):
        gauge.at(float(second))
        for _ in range(limit):
            gauge.frame(head)
    with pytest.raises(FloodError, match=f"more than {limit} {name} frames in a second"):
        gauge.frame(head)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 10, 16, 33, 1000])
def test_goaway_is_cut_out_wherever_the_pieces_break(size: int) -> None:
    frames = [SettingsFrame(0), DataFrame(1, b"abc"), DataFrame(1, b""), PingFrame(0, b"12345678"), DataFrame(1, b"d")]
    goaway = GoAway(7, 3).encoded()
    with_data = goaway[:2] + b"\x0c" + goaway[3:] + b"data"
    kept = [frame.serialize() for frame in frames]
    stream = PREFACE + b"".join([kept[0], goaway, kept[1], kept[2], with_data, goaway, kept[3], kept[4]])
    heads: list[FrameHead] = []
    reader = FrameReader(heads.append)
    parts = [part for start in range(0, len(stream), size) for part in reader.split(stream[start : start + size])]
    assert b"".join(part for part in parts if isinstance(part, bytes)) == PREFACE + b"".join(kept)
    assert [part for part in parts if isinstance(part, GoAway)] == [GoAway(7, 3)] * 3
    assert [head.kind for head in heads] == [4, 7, 0, 0, 7, 7, 6, 0]
    assert [head.length for head in heads] == [0, 8, 3, 0, 12, 8, 8, 1]
