"""Split the incoming bytes into HTTP/2 frames, and keep some of them from h2 (RFC 9113, 4.1).

h2 treats a GOAWAY, sent or received, as the end of the connection. HTTP/2 lets open streams continue (RFC 9113, 6.8),
and drains depend on that. So incoming GOAWAY frames are removed before h2 reads the bytes, and outgoing ones bypass h2.
Header blocks are removed too; `restate_identity.tunnel.header_blocks` says why. Frames are also counted here, before h2
spends any time on them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from h2.errors import ErrorCodes

PREFACE_SIZE = 24
HEAD_SIZE = 9
END_STREAM = 0x1
END_HEADERS = 0x4
_PADDED = 0x8
_PRIORITY = 0x20
_PRIORITY_SIZE = 5

_head = struct.Struct(">BHBBI").unpack_from
_goaway = struct.Struct(">II")


class FrameType(IntEnum):
    """The frame types of HTTP/2."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


_NOT_FOR_H2 = frozenset((FrameType.GOAWAY, FrameType.HEADERS, FrameType.CONTINUATION))


class FrameHead(NamedTuple):
    """The header of a frame: its first nine bytes."""

    kind: int
    flags: int
    stream_id: int
    length: int


class GoAway(NamedTuple):
    """A GOAWAY frame: its sender opens or accepts no more streams on this connection."""

    last_stream_id: int
    error_code: int

    def encoded(self) -> bytes:
        """Return the bytes of the frame."""
        return b"\0\0\x08\x07\0\0\0\0\0" + _goaway.pack(*self)


ALL_STREAMS = 2**31 - 1
GRACEFUL_GOAWAY = GoAway(ALL_STREAMS, ErrorCodes.NO_ERROR)
"""Announces the end of the connection. Streams that are on their way are still accepted (RFC 9113, 6.8)."""


class HeaderBlock(NamedTuple):
    """The content of a HEADERS frame and its CONTINUATION frames."""

    stream_id: int
    ends_stream: bool
    data: bytes
    """The HPACK-encoded fields."""


class FrameError(Exception):
    """The connection must end (PROTOCOL_ERROR). The message says why; it is safe to log."""


class Verdict(Enum):
    """What to do with a frame."""

    PASS = "pass"
    DROP = "drop"
    """Drop it. It has no payload, and nobody needs it."""
    RESET = "reset"
    """Drop it and reset its stream, because it exceeds the stream's limit."""


class StreamFlood(NamedTuple):
    """A stream that exceeded a limit and must be reset."""

    stream_id: int


class FrameReader:
    """Separates GOAWAY frames and header blocks from the bytes for h2, and calls *judge* for the head of each frame.

    Args:
        judge: Says what to do with a frame, from its head.
        preface: The size of what comes before the first frame: a client sends a preface, a server none.
    """

    def __init__(self, judge: Callable[[FrameHead], Verdict], *, preface: int = PREFACE_SIZE) -> None:
        self._judge = judge
        self._left = preface
        self._part_of_head = b""
        # The current frame, if it is kept from h2, and the header block that is incomplete so far.
        self._taken: FrameHead | None = None
        self._verdict = Verdict.PASS
        self._payload = bytearray()
        self._block: HeaderBlock | None = None
        self._fragments: list[bytes] = []

    def split(self, data: bytes) -> Iterator[bytes | GoAway | HeaderBlock | StreamFlood]:
        """Yield the parts of *data* in order: bytes for h2, each GOAWAY, each complete header block, and each flood.

        Raises:
            FrameError: A frame is malformed or out of order.
            Exception: Whatever *judge* raises.
        """
        begin = position = 0
        end = len(data)
        while position < end:
            if self._left:
                size = min(self._left, end - position)
                if self._taken is not None:
                    self._payload += data[position : position + size]
                    begin = position + size
                position += size
                self._left -= size
            else:
                held = self._part_of_head
                if len(held) + end - position < HEAD_SIZE:
                    # Only a complete head tells whether h2 may see the frame.
                    self._part_of_head = held + data[position:]
                    if begin < position:
                        yield data[begin:position]
                    return
                start, position = position, position + HEAD_SIZE - len(held)
                self._part_of_head = b""
                self._begin(held + data[start:position])
                if self._taken is not None:
                    if begin < start:
                        yield data[begin:start]
                    begin = position
                elif held:
                    yield held
            if self._taken is not None and not self._left:
                part = self._complete(self._taken, bytes(self._payload))
                self._taken = None
                self._payload.clear()
                if part is not None:
                    yield part
        if begin < end:
            yield data[begin:end] if begin else data

    def _begin(self, raw: bytes) -> None:
        high, low, kind, flags, stream_id = _head(raw)
        head = FrameHead(kind, flags, stream_id & ALL_STREAMS, high << 16 | low)
        block = self._block
        if block is not None and (kind != FrameType.CONTINUATION or head.stream_id != block.stream_id):
            raise FrameError("another frame before the end of a header block")
        if block is None and kind == FrameType.CONTINUATION:
            raise FrameError("a CONTINUATION frame outside a header block")
        self._verdict = self._judge(head)
        self._left = head.length
        if kind in _NOT_FOR_H2 or self._verdict is not Verdict.PASS:
            self._taken = head

    def _complete(self, head: FrameHead, payload: bytes) -> GoAway | HeaderBlock | StreamFlood | None:
        if self._verdict is not Verdict.PASS:
            return StreamFlood(head.stream_id) if self._verdict is Verdict.RESET else None
        if head.kind == FrameType.GOAWAY:
            if len(payload) < _goaway.size:
                return GoAway(0, ErrorCodes.FRAME_SIZE_ERROR)
            return GoAway(*_goaway.unpack_from(payload))
        if self._block is None:
            self._block = HeaderBlock(head.stream_id, bool(head.flags & END_STREAM), b"")
            payload = _fragment(head.flags, payload)
        self._fragments.append(payload)
        if not head.flags & END_HEADERS:
            return None
        block = self._block._replace(data=b"".join(self._fragments))
        self._block = None
        self._fragments.clear()
        return block


def _fragment(flags: int, payload: bytes) -> bytes:
    """Return the payload of a HEADERS frame without its padding and priority, which are not used."""
    begin, padding = 0, 0
    if flags & _PADDED:
        begin, padding = 1, payload[0] if payload else 0
    if flags & _PRIORITY:
        begin += _PRIORITY_SIZE
    end = len(payload) - padding
    if end < begin:
        raise FrameError("a HEADERS frame that is shorter than its padding and priority")
    return payload[begin:end]
