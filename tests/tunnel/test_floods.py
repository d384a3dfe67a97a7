"""A peer that sends nothing but overhead loses its connection; one whose callers give up loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.floods import FloodError, FloodGauge
from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameHead, FrameReader, FrameType, GoAway, Verdict
from restate_identity.tunnel.state import EndingKind
from tests.tunnel.cloud import Line
from tests.tunnel.dialling import ECHO, QUICK, Held, serving, until
from tests.tunnel.neighbours import OTHER, PSEUDO, beside_a_neighbour, is_reset, opened_with

MANY = 25_000
ACK = 0x1
FIRST_STREAM = 3  # the first one is the handshake's
REQUEST = [(":method", "POST"), (":scheme", "https"), (":authority", "tunnel.test"), (":path", ECHO)]


def _request_block() -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(REQUEST)


def resets_of_one_stream() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, _request_block(), flags=["END_HEADERS"])
    for _ in range(MANY):
        yield RstStreamFrame(FIRST_STREAM, ErrorCodes.CANCEL)


def settings() -> Iterable[Frame]:
    return (SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 2**14}) for _ in range(MANY))


def continuations() -> Iterable[Frame]:
    yield HeadersFrame(FIRST_STREAM, _request_block())
    for _ in range(MANY):
        yield ContinuationFrame(FIRST_STREAM, b"x" * 16)


# The tests of the gauge, below, have the limits of every kind.
FLOODS: list[tuple[Callable[[], Iterable[Frame]], str]] = [
    (resets_of_one_stream, "more than 1000 RST_STREAM frames for no stream"),
    (settings, "more than 100 SETTINGS frames"),
    (continuations, "a header block of 66 frames"),
]


async def pour(line: Line, flood: Callable[[], Iterable[Frame]]) -> None:
    data = b"".join(frame.serialize() for frame in flood())
    line.raw(data)
    await line.ended()


@pytest.mark.parametrize(("flood", "what"), FLOODS, ids=[flood.__name__ for flood, _ in FLOODS])
async def test_a_flood_ends_the_connection(flood: Callable[[], Iterable[Frame]], what: str) -> None:
    async with serving() as (here, line):
        await pour(line, flood)
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert f"the server sent {what}" in ending.reason
        assert [code for _, code in line.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]


async def test_a_header_list_that_unpacks_to_far_too_much_ends_the_connection() -> None:
    async with serving() as (here, line):
        encoder = Encoder()
        block = encoder.encode([*REQUEST, ("x-large", "x" * 4000)])
        # One byte each from now on.
        block += encoder.encode([("x-large", "x" * 4000)]) * 300
        line.raw(HeadersFrame(FIRST_STREAM, block, flags=["END_HEADERS"]))
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        await line.ended()
        assert [code for _, code in line.goaways] == [ErrorCodes.ENHANCE_YOUR_CALM]


@pytest.mark.parametrize("length", [1023, 0])
def test_small_frames_of_many_header_blocks_are_counted_together(length: int) -> None:
    gauge = FloodGauge()
    gauge.at(0)

    def blocks() -> None:
        for stream in range(1, 1000, 2):
            gauge.frame(FrameHead(FrameType.HEADERS, 0, stream, length))
            for _ in range(8):
                gauge.frame(FrameHead(FrameType.CONTINUATION, 0, stream, length))

    with pytest.raises(FloodError, match="more than 1000 short parts of header blocks in a second"):
        blocks()


@pytest.mark.parametrize("length", [1024, 1025])
def test_parts_of_header_blocks_that_are_not_short_are_not_counted(length: int) -> None:
    gauge = FloodGauge()
    for stream in range(1, 1000, 2):
        gauge.frame(FrameHead(FrameType.HEADERS, 0, stream, length))
        for _ in range(8):
            gauge.frame(FrameHead(FrameType.CONTINUATION, 0, stream, length))


async def test_a_caller_with_many_empty_frames_loses_its_own_stream_only() -> None:
    async with beside_a_neighbour() as (here, line, app):
        exchanges = [line.open(OTHER) for _ in range(4)]
        await until(lambda: len(app.scopes) == 4)
        for exchange in exchanges:
            line.raw(b"".join(DataFrame(exchange.stream_id).serialize() for _ in range(MANY)))
            await is_reset(exchange, ErrorCodes.ENHANCE_YOUR_CALM)
        await until(lambda: here.connection.in_flight == 1)
        assert [message["type"] for message in app.messages] == ["http.disconnect"] * 4


async def test_many_empty_frames_for_a_request_that_has_been_answered_cost_nobody_anything() -> None:
    async with beside_a_neighbour() as (_, line, _):
        exchange = line.open("/_/health")
        assert (await exchange.whole()).status == 200
        line.raw(b"".join(DataFrame(exchange.stream_id).serialize() for _ in range(MANY)))


async def test_a_few_empty_frames_inside_a_body_change_nothing() -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = line.open(OTHER)
        for part in (b"", b"a", b"", b"", b"b", b""):
            line.raw(DataFrame(exchange.stream_id, part))
        await exchange.send(b"c", end=True)
        assert (await exchange.whole()).status == 200
        assert app.body == b"abc"


@pytest.mark.parametrize("size", [66_000, 140_000, 1_000_000])
async def test_a_caller_with_a_large_header_is_answered_431_beside_its_neighbours(size: int) -> None:
    async with beside_a_neighbour() as (_, line, app):
        fields = [*PSEUDO, ("x-large", "~" * size), ("x-next", "kept in the table")]
        exchange = opened_with(line, fields, ends=True)
        assert (await exchange.whole()).status == 431
        # The two ends still agree on what the fields of later requests refer to.
        assert (await line.request(OTHER, [("x-next", "kept in the table")])).status == 200
        assert (b"x-next", b"kept in the table") in app.scopes[0]["headers"]


async def test_many_callers_with_headers_in_several_frames_are_no_flood() -> None:
    async with beside_a_neighbour() as (_, line, _app):
        fields = [*PSEUDO, *((f"x-{number}", "~" * 16_000) for number in range(3))]
        exchanges = [opened_with(line, fields, ends=True) for _ in range(400)]
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}


class Listening:
    """An application that answers, late, whoever has not gone meanwhile."""

    def __init__(self) -> None:
        self.entered = 0
        self.gone = 0
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.entered += 1
        gone = asyncio.ensure_future(self._left(receive))
        let_go = asyncio.ensure_future(self.let_go.wait())
        await asyncio.wait({gone, let_go}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.gone += 1
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"served"})
        for task in (gone, let_go):
            task.cancel()

    async def _left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


CANCELLED = 1000
NEIGHBOURS = 50


@pytest.mark.parametrize("at_once", [10_000, 1, 0], ids=["all at once", "one by one", "after they were called"])
async def test_callers_that_give_up_do_not_take_their_neighbours_along(at_once: int) -> None:
    app = Listening()
    async with serving(app) as (here, line):
        await line.until(lambda: line.settings_known)
        neighbours = [line.open(ECHO, end=True) for _ in range(NEIGHBOURS)]
        await until(lambda: app.entered == NEIGHBOURS)
        if at_once > 1:
            line.hold_back()
        cancelled = []
        for _ in range(CANCELLED):
            cancelled.append(line.open(ECHO))
            if at_once:
                cancelled[-1].reset()
        line.let_go()
        if not at_once:
            await until(lambda: app.entered == NEIGHBOURS + CANCELLED)
            for exchange in cancelled:
                exchange.reset()
        assert (await line.request("/_/health", method="GET")).status == 200
        await until(lambda: here.connection.in_flight == NEIGHBOURS)
        app.let_go.set()
        assert [(await exchange.whole()).body for exchange in neighbours] == [b"served"] * NEIGHBOURS
        assert not here.task.done()
        assert app.gone == app.entered - NEIGHBOURS


async def test_a_request_that_is_given_up_before_the_application_was_called_is_not_run() -> None:
    app = Listening()
    async with serving(app) as (here, line):
        line.hold_back()
        for _ in range(100):
            line.open(ECHO).reset()
        line.let_go()
        assert (await line.request("/_/health", method="GET")).status == 200
        assert (app.entered, here.connection.in_flight) == (0, 0)


async def test_an_application_that_goes_on_with_what_was_given_up_is_not_called_without_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Held()
    async with serving(app, timings=replace(QUICK, max_streams=100)) as (here, line):
        await line.until(lambda: line.settings_known)
        neighbours = [line.open(ECHO, end=True) for _ in range(NEIGHBOURS)]
        await until(lambda: app.entered == NEIGHBOURS)
        refused = 0
        for turn in range(1, 11):
            given_up = [line.open(ECHO) for _ in range(40)]
            goal = min(NEIGHBOURS + 40 * turn, 200)
            await until(lambda goal=goal: app.entered == goal)  # type: ignore[misc]
            assert (await line.request("/_/health", method="GET")).status == 200
            for exchange in given_up:
                if exchange.over:
                    assert exchange.reset_code == ErrorCodes.REFUSED_STREAM
                    refused += 1
                else:
                    exchange.reset()
        assert (app.entered, here.connection.in_flight, refused) == (200, 200, 250)
        assert caplog.text.count("refuses new requests: the application works on 200") == 1
        app.let_go()
        assert [(await exchange.whole()).body for exchange in neighbours] == [b"late"] * NEIGHBOURS
        await until(lambda: here.connection.in_flight == 0)
        assert (await line.request(ECHO)).body == b"late"


@pytest.mark.parametrize(
    ("kind", "flags", "limit", "name"),
    [
        (FrameType.RST_STREAM, 0, 1000, "RST_STREAM frames for no stream"),
        (FrameType.SETTINGS, 0, 100, "SETTINGS frames"),
        (FrameType.SETTINGS, ACK, 1000, "empty frames"),
        (FrameType.PING, 0, 1000, "PING frames"),
        (FrameType.PING, ACK, 1000, "empty frames"),
        (FrameType.PRIORITY, ACK, 1000, "PRIORITY frames"),
        (FrameType.WINDOW_UPDATE, 0, 20_000, "WINDOW_UPDATE frames"),
        (FrameType.WINDOW_UPDATE, ACK, 20_000, "WINDOW_UPDATE frames"),
        (0xFE, ACK, 1000, "frames of unknown types"),
    ],
)
def test_each_kind_of_frame_has_its_limit_for_each_second(kind: int, flags: int, limit: int, name: str) -> None:
    gauge = FloodGauge()
    head = FrameHead(kind, flags, 0, 8)
    for second in range(3):
        gauge.at(float(second))
        for _ in range(limit):
            assert gauge.frame(head) is Verdict.PASS
    gauge.at(2.9)
    with pytest.raises(FloodError, match=f"more than {limit} {name} in a second"):
        gauge.frame(head)


def test_a_stream_that_was_opened_may_be_reset_and_no_other() -> None:
    gauge = FloodGauge()
    reset = FrameHead(FrameType.RST_STREAM, 0, 1, 4)
    for _ in range(3000):
        gauge.frame(FrameHead(FrameType.HEADERS, END_HEADERS, 1, 2000))
        gauge.frame(reset)
        gauge.stream_opened()
        gauge.frame(reset)
    for _ in range(1000):
        gauge.frame(reset)
    with pytest.raises(FloodError, match="RST_STREAM"):
        gauge.frame(reset)


def test_the_empty_frames_of_a_stream_are_dropped_and_too_many_reset_it_once() -> None:
    gauge = FloodGauge()
    verdicts = [gauge.frame(FrameHead(FrameType.DATA, 0, 1, 0)) for _ in range(3000)]
    assert [index for index, verdict in enumerate(verdicts) if verdict is not Verdict.DROP] == [1000]
    assert verdicts[1000] is Verdict.RESET
    assert gauge.frame(FrameHead(FrameType.DATA, 0, 3, 0)) is Verdict.DROP
    for needed in (FrameHead(FrameType.DATA, END_STREAM, 1, 0), FrameHead(FrameType.DATA, 0, 1, 1)):
        assert gauge.frame(needed) is Verdict.PASS


def test_the_empty_frames_of_a_stream_in_another_second_are_not_added() -> None:
    gauge = FloodGauge()
    for second in range(3):
        gauge.at(float(second))
        assert {gauge.frame(FrameHead(FrameType.DATA, 0, 1, 0)) for _ in range(1000)} == {Verdict.DROP}


def test_the_size_of_a_frame_and_of_a_header_block_are_limited() -> None:
    gauge = FloodGauge()
    gauge.frame(FrameHead(FrameType.HEADERS, 0, 1, 65_536))
    for _ in range(15):
        gauge.frame(FrameHead(FrameType.CONTINUATION, 0, 1, 65_536))
    with pytest.raises(FloodError, match="a header block of 17 frames and 1048577 bytes"):
        gauge.frame(FrameHead(FrameType.CONTINUATION, END_HEADERS, 1, 1))
    with pytest.raises(FloodError, match="a frame of 65537 bytes"):
        gauge.frame(FrameHead(FrameType.DATA, 0, 1, 65_537))


async def test_what_came_in_another_second_is_not_added() -> None:
    async with serving() as (_, line):
        await line.until(lambda: line.settings_known)
        for _ in range(2):
            line.raw(b"".join(SettingsFrame(0).serialize() for _ in range(90)))
            assert (await line.request(ECHO)).status == 200
            await asyncio.sleep(1.05)
        assert not line.lost


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 10, 16, 33, 1000])
def test_goaway_is_cut_out_wherever_the_pieces_break(size: int) -> None:
    frames = [SettingsFrame(0), DataFrame(1, b"abc"), DataFrame(1, b""), PingFrame(0, b"12345678"), DataFrame(1, b"d")]
    goaway = GoAway(7, 3).encoded()
    with_data = goaway[:2] + b"\x0c" + goaway[3:] + b"data"
    kept = [frame.serialize() for frame in frames]
    stream = PREFACE + b"".join([kept[0], goaway, kept[1], kept[2], with_data, goaway, kept[3], kept[4]])
    heads: list[FrameHead] = []

    def judge(head: FrameHead) -> Verdict:
        heads.append(head)
        return Verdict.PASS

    reader = FrameReader(judge)
    parts = [part for start in range(0, len(stream), size) for part in reader.split(stream[start : start + size])]
    assert b"".join(part for part in parts if isinstance(part, bytes)) == PREFACE + b"".join(kept)
    assert [part for part in parts if isinstance(part, GoAway)] == [GoAway(7, 3)] * 3
    assert [head.kind for head in heads] == [4, 7, 0, 0, 7, 7, 6, 0]
    assert [head.length for head in heads] == [0, 8, 3, 0, 12, 8, 8, 1]


def test_the_reserved_bit_of_a_stream_id_is_ignored() -> None:
    streams = []

    def judge(head: FrameHead) -> Verdict:
        streams.append(head.stream_id)
        return Verdict.PASS

    ping = bytes([0, 0, 0, FrameType.PING, 0])
    list(FrameReader(judge, preface=0).split(ping + b"\xff\xff\xff\xff" + ping + b"\x80\0\0\0"))
    assert streams == [2**31 - 1, 0]


@pytest.mark.parametrize("size", [0, 1, 4, 7])
async def test_a_goaway_that_is_too_short_ends_the_connection(size: int) -> None:
    async with serving() as (here, line):
        line.raw(bytes([0, 0, size, FrameType.GOAWAY, 0, 0, 0, 0, 0]) + bytes(size))
        ending = await here.ending()
        assert (ending.kind, "GOAWAY, error code 6" in ending.reason) == (EndingKind.RETRY, True)
