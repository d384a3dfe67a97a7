"""What is wrong with one request costs that request, and no other one on the connection (RFC 9113, 8.1.1)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder, HeaderTuple, HPACKError
from hyperframe.frame import ContinuationFrame, DataFrame, ExtensionFrame, Frame, HeadersFrame

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel import header_blocks
from restate_identity.tunnel.floods import FloodError
from restate_identity.tunnel.frames import FrameReader, GoAway, HeaderBlock, Verdict
from restate_identity.tunnel.header_blocks import HeaderDecoder
from restate_identity.tunnel.state import EndingKind
from tests.tunnel.cloud import Cloud, Exchange
from tests.tunnel.dialling import ECHO, QUICK, dialled, serving, until
from tests.tunnel.neighbours import OTHER, PSEUDO, Neighbours, beside_a_neighbour, is_reset, opened_with

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def lengths(*values: str) -> list[tuple[str, str]]:
    return [("content-length", value) for value in values]


@pytest.mark.parametrize(
    "fields",
    [
        *(lengths(text) for text in ("abc", "+3", "-3", "", " 3", "3, 3", "3,4", "0x3", "٣", "9" * 19, "9" * 5000)),
        lengths("3", "4"),
        lengths("3", "03"),
    ],
    ids=lambda fields: ",".join(value[:20] for _, value in fields),
)
async def test_a_content_length_that_is_none_is_a_bad_request(fields: Any) -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = line.open(OTHER, fields)
        assert (await exchange.response())[":status"] == "400"
        assert app.scopes == []


@pytest.mark.parametrize("length", ["3", "0"])
async def test_a_content_length_without_a_body_is_a_bad_request_unless_it_is_0(length: str) -> None:
    async with beside_a_neighbour() as (_, line, _app):
        exchange = line.open(OTHER, lengths(length), end=True)
        assert (await exchange.whole()).status == (200 if length == "0" else 400)


@pytest.mark.parametrize("fields", [lengths("6"), lengths("6", "6"), lengths("06")])
async def test_a_content_length_that_is_right_is_passed_on_once(fields: Any) -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = line.open(OTHER, [*fields, ("x-a", "b")])
        await exchange.send(b"abc")
        await exchange.send(b"def", end=True)
        assert (await exchange.whole()).status == 200
        assert app.body == b"abcdef"
        sent = [field for field in app.scopes[0]["headers"] if field[0] != b"host"]
        assert sent == [(b"content-length", fields[0][1].encode()), (b"x-a", b"b")]


async def ends_with_data(exchange: Exchange) -> None:
    await exchange.send(b"def", end=True)


async def ends_without_data(exchange: Exchange) -> None:
    exchange.end()


async def ends_with_trailers(exchange: Exchange) -> None:
    exchange.trailers([("checksum", "1")])


async def goes_on(exchange: Exchange) -> None:
    await exchange.send(b"def")


@pytest.mark.parametrize(
    ("length", "go_on"),
    [
        ("5", goes_on),
        ("5", ends_with_data),
        ("7", ends_with_data),
        ("4", ends_without_data),
        ("4", ends_with_trailers),
    ],
)
@pytest.mark.parametrize("called", [True, False], ids=["called", "not called yet"])
async def test_a_body_of_another_length_than_was_said_is_reset(
    length: str, go_on: Callable[[Exchange], Awaitable[None]], called: bool
) -> None:
    async with beside_a_neighbour() as (here, line, app):
        if not called:
            line.hold_back()
        exchange = line.open(OTHER, lengths(length))
        await exchange.send(b"abc")
        if called:
            await until(lambda: app.body == b"abc")
        await go_on(exchange)
        line.let_go()
        await is_reset(exchange)
        await until(lambda: here.connection.in_flight == 1)
        if called:
            # Nothing that looks like the end of it, and no byte too many.
            assert [message["type"] for message in app.messages] == ["http.request", "http.disconnect"]
        else:
            assert (app.scopes, app.messages) == ([], [])


async def test_a_body_of_another_length_is_reset_while_the_response_is_on_its_way() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not seen or seen[-1] != "http.disconnect":
            seen.append((await receive())["type"])

    async with serving(app) as (here, line):
        exchange = line.open(OTHER, lengths("2"))
        assert (await exchange.response())[":status"] == "200"
        await exchange.send(b"abc")
        await is_reset(exchange)
        await until(lambda: here.connection.in_flight == 0)
        assert seen == ["http.disconnect"]


async def test_a_request_that_waits_for_the_handshake_is_reset_for_its_length_too() -> None:
    app = Neighbours()
    async with Cloud(script=None) as cloud, dialled(cloud.target, app, timings=QUICK):
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        exchange = line.open(OTHER, lengths("2"))
        await exchange.send(b"abc", end=True)
        await is_reset(exchange)
        handshake.trailers(line.outcome())
        assert (await line.request(OTHER)).status == 200
        assert len(app.scopes) == 1


@pytest.mark.parametrize(
    ("field", "fine"),
    [
        (("checksum", "1"), True),
        (("content-length", "7"), True),  # of no meaning there
        ((":status", "103"), False),
        ((":path", "/"), False),
        (("X-Upper", "case"), False),
        (("connection", "close"), False),
        (("x-a", "a\r\nx-b: b"), False),
    ],
)
async def test_a_request_with_malformed_trailers_is_reset(
    field: tuple[str, str], fine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with beside_a_neighbour() as (_, line, app):
        exchange = line.open(OTHER)
        await exchange.send(b"abc")
        await until(lambda: app.body == b"abc")
        line.raw(HeadersFrame(exchange.stream_id, line.h2.encoder.encode([field]), flags=["END_HEADERS", "END_STREAM"]))
        if fine:
            assert (await exchange.whole()).status == 200
        else:
            await is_reset(exchange)
            assert app.messages[-1] == {"type": "http.disconnect"}
            assert "resets a request: its trailers are malformed" in caplog.text


@pytest.mark.parametrize("is_newest", [True, False])
async def test_a_request_whose_trailers_are_not_its_end_is_reset(is_newest: bool) -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = line.open(OTHER)
        await exchange.send(b"abc")
        await until(lambda: app.body == b"abc")
        if not is_newest:
            assert (await line.request("/_/health")).status == 200
        line.raw(HeadersFrame(exchange.stream_id, line.h2.encoder.encode([("a", "b")]), flags=["END_HEADERS"]))
        line.raw(DataFrame(exchange.stream_id, b"def"))
        await is_reset(exchange)
        assert app.messages[1:] == [{"type": "http.disconnect"}]


@pytest.mark.parametrize(
    "fields", [*([*PSEUDO, field] for field in [(":status", "103"), (":protocol", "websocket"), PSEUDO[0]]), PSEUDO[1:]]
)
async def test_a_request_with_other_pseudo_headers_than_its_own_is_a_bad_request(fields: list[tuple[str, str]]) -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = opened_with(line, fields)
        assert (await exchange.response())[":status"] == "400"
        assert app.scopes == []


@pytest.mark.parametrize("between", [("x-a", "b"), ("cookie", "a=b")])
async def test_a_pseudo_header_after_another_field_is_a_bad_request(between: tuple[str, str]) -> None:
    async with beside_a_neighbour() as (_, line, app):
        exchange = opened_with(line, [*PSEUDO[:-1], between, PSEUDO[-1]])
        assert (await exchange.response())[":status"] == "400"
        assert app.scopes == []


async def test_a_cookie_that_came_in_pieces_reaches_the_application_in_one() -> None:
    async with beside_a_neighbour() as (_, line, app):
        await line.request(OTHER, [("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2"), ("cookie", "d=3")])
        headers = app.scopes[0]["headers"]
        assert headers == [(b"host", b"tunnel.test"), (b"x-a", b"b"), (b"cookie", b"a=1; c=2; d=3")]


# How header blocks are cut, and which of them no connection survives.

FIELDS = [(":method", "GET"), (":path", "/a"), ("x-long", "~" * 3000)]


def blocks(*frames: Frame, size: int = 1000) -> list[HeaderBlock]:
    """Return the header blocks that a reader finds in *frames*, which come in pieces of *size* bytes."""
    reader = FrameReader(lambda _: Verdict.PASS)
    stream = PREFACE + b"".join(frame.serialize() for frame in frames)
    parts = [part for start in range(0, len(stream), size) for part in reader.split(stream[start : start + size])]
    assert not any(isinstance(part, GoAway) for part in parts)
    return [part for part in parts if isinstance(part, HeaderBlock)]


@pytest.mark.parametrize("size", [1, 7, 9, 10, 1000])
def test_a_header_block_is_put_together_without_padding_and_priority(size: int) -> None:
    block = Encoder().encode(FIELDS)
    first = HeadersFrame(1, block[:10], pad_length=5, depends_on=0, stream_weight=7, exclusive=True)
    for flag in ("PADDED", "PRIORITY", "END_STREAM"):
        first.flags.add(flag)
    frames: list[Frame] = [first, ContinuationFrame(1, block[10:20]), ContinuationFrame(1, b"")]
    frames += [ContinuationFrame(1, block[20:], flags=["END_HEADERS"]), DataFrame(3, b"x")]
    frames += [HeadersFrame(5, block, flags=["END_HEADERS"])]
    frames += [HeadersFrame(7), ContinuationFrame(7, block, flags=["END_HEADERS"])]
    expected = [HeaderBlock(1, True, block), HeaderBlock(5, False, block), HeaderBlock(7, False, block)]
    assert blocks(*frames, size=size) == expected
    fields = HeaderDecoder().decode(block).fields
    assert fields == [(name.encode(), value.encode()) for name, value in FIELDS]


def padded_too_far() -> list[Frame]:
    frame = HeadersFrame(3, b"\x82", flags=["END_HEADERS", "PADDED"], pad_length=0)
    raw = bytearray(frame.serialize())
    raw[9] = 200
    return [_Raw(bytes(raw))]


class _Raw(Frame):
    def __init__(self, raw: bytes) -> None:
        super().__init__(3)
        self._raw = raw

    def serialize(self) -> bytes:
        return self._raw


BLOCK = Encoder().encode(PSEUDO)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([HeadersFrame(3, BLOCK), DataFrame(3, b"a")], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, BLOCK), HeadersFrame(5, BLOCK)], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, BLOCK), HeadersFrame(3, BLOCK, flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, BLOCK), ExtensionFrame(0xFA, 3, flag_byte=0, body=b"")], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, BLOCK), ContinuationFrame(5, b"", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, BLOCK), ContinuationFrame(1, b"", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([ContinuationFrame(3, BLOCK, flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        (padded_too_far(), ErrorCodes.PROTOCOL_ERROR),
        ([_Raw(b"\0\0\0\x01\x0c\0\0\0\x03")], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(3, b"\xff\xff", flags=["END_HEADERS"])], ErrorCodes.COMPRESSION_ERROR),
        ([HeadersFrame(3, b"\xfe", flags=["END_HEADERS"])], ErrorCodes.COMPRESSION_ERROR),
        ([HeadersFrame(2, BLOCK, flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
    ],
    ids=[
        "data within a block",
        "headers of another stream within a block",
        "headers within a block",
        "an unknown frame within a block",
        "a continuation of a later stream",
        "a continuation of an earlier stream",
        "a continuation of nothing",
        "padding",
        "padding of which not even the length is there",
        "a broken integer",
        "an index that is not there",
        "a stream that is not the client's",
    ],
)
async def test_frames_that_do_not_fit_together_end_the_connection(frames: list[Frame], code: ErrorCodes) -> None:
    async with serving() as (here, line):
        for frame in frames:
            line.raw(frame)
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        await line.ended()
        assert [error for _, error in line.goaways] == [code]


@pytest.mark.parametrize("huffman", [True, False])
@pytest.mark.parametrize("size", [1, 5, 200, 40_000])
def test_a_large_header_block_is_read_as_a_small_one(size: int, huffman: bool) -> None:
    # With and without indexing, with names of the tables and new ones, and a change of the table's size.
    encoder = Encoder()
    count = min(900, 40_000 // size)
    fields = [(f"x-{number % 50}", "~" * (size + number % 3)) for number in range(count)]
    encoder.header_table_size = 100
    block = b"".join(encoder.encode([(name, value, len(value) % 2 == 0)], huffman=huffman) for name, value in fields)
    decoded = HeaderDecoder().decode(block)
    assert decoded.fields == [(name.encode(), value.encode()) for name, value in fields]
    assert decoded.size == sum(len(name) + len(value) + 32 for name, value in fields)


@pytest.mark.parametrize(
    "field",
    [
        *(b"\x82", b"\xfe", b"\xff\x00"),  # indexed
        *(b"\x41\x01v", b"\x7e\x01v", b"\x7f\x00\x01v", b"\x40\x01n\x01v"),  # with indexing
        *(b"\x01\x01v", b"\x0e\x01v", b"\x0f\x00\x01v", b"\x00\x01n\x01v", b"\x1f\x00\x01v"),  # without
        *(b"\x01\x7e" + b"v" * 126, b"\x01\x7f\x7f" + b"v" * 254, b"\x01\x7f\x80\x01" + b"v" * 255),
    ],
)
def test_a_large_header_block_is_read_in_small_pieces(monkeypatch: pytest.MonkeyPatch, field: bytes) -> None:
    pieces: list[int] = []

    class Counting(Decoder):
        def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
            pieces.append(len(data))
            return super().decode(data, raw=raw)

    monkeypatch.setattr(header_blocks, "Decoder", Counting)
    sizes = b"\x3e\x3f\xe1\x1f" * 2500  # of the table: 30, then 4096
    table = b"".join(b"\x40\x03%03d\x00" % number for number in range(100))
    block = sizes + table + field * (17_000 // len(field))
    decoded = HeaderDecoder().decode(block)
    everything = list(Decoder(2**20).decode(block, raw=True))
    assert decoded.fields == everything[: len(decoded.fields)]
    assert decoded.size == sum(len(name) + len(value) + 32 for name, value in everything)
    assert max(pieces) <= 8 * 1024 + len(field)


def test_the_pieces_of_a_header_block_are_counted_together() -> None:
    # 42 bytes each: several pieces together have more than 1 MiB, and no one alone.
    with pytest.raises(FloodError, match="a header list of more than 1048576 bytes"):
        HeaderDecoder().decode(b"\x82" * 25_000)


@pytest.mark.parametrize("tail", [b"\x00\x01", b"\x00\x7f\xff", b"\x0f\xff\xff\xff\xff\xff\xff\x01"])
def test_a_large_header_block_that_ends_within_a_field_cannot_be_read(tail: bytes) -> None:
    block = Encoder().encode([(f"x-{number}", "~" * 90) for number in range(100)], huffman=False) + tail
    assert len(block) > 8 * 1024
    with pytest.raises(HPACKError):
        HeaderDecoder().decode(block)


async def test_a_frame_of_an_unknown_type_is_ignored() -> None:
    async with serving() as (_, line):
        await line.until(lambda: line.settings_known)
        line.raw(b"\0\0\4\xfe\0\0\0\0\0abcd")
        assert (await line.request(ECHO)).status == 200
