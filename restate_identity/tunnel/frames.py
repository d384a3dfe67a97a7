"""The frames in a stream of bytes, as far as they must be known before h2 sees them (RFC 9113, 4.1).

h2 takes a GOAWAY, sent or received, as the end of the connection, while HTTP/2 lets the streams that are open go on
(RFC 9113, 6.8), and a drain depends on it. So GOAWAY is taken out of what h2 reads, and written past it. And frames are
counted here, before h2 has spent any time on them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import NamedTuple

from h2.errors import ErrorCodes

PREFACE_SIZE = 24
HEAD_SIZE = 9
END_HEADERS = 0x4

_head = struct.Struct(">BHBBI").unpack_from
_goaway = struct.Struct(">II")


class FrameType(IntEnum):
    """The types of HTTP/2."""

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


class FrameHead(NamedTuple):
    """The first nine bytes of a frame."""

    kind: int
    flags: int
    stream_id: int
    length: int


class GoAway(NamedTuple):
    """The other side opens no more streams on this connection, or accepts no more."""

    last_stream_id: int
    error_code: int

    def encoded(self) -> bytes:
        """Return the frame."""
        return b"\0\0\x08\x07\0\0\0\0\0" + _goaway.pack(*self)


ALL_STREAMS = 2**31 - 1
GRACEFUL_GOAWAY = GoAway(ALL_STREAMS, ErrorCodes.NO_ERROR)
"""The warning before the real one: what is on its way still arrives (RFC 9113, 6.8)."""


class FrameReader:
    """Cuts GOAWAY frames out of what a client sends, and shows the head of every frame to *observe*."""

    def __init__(self, observe: Callable[[FrameHead], None]) -> None:
        self._observe = observe
        self._left = PREFACE_SIZE
        self._part_of_head = b""
        self._part_of_goaway: bytearray | None = None

    def split(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Yield *data* in order: bytes for h2, and each GOAWAY.

        Raises:
            Whatever *observe* raises.
        """
        begin = position = 0
        end = len(data)
        while position < end:
            if self._left:
                taken = min(self._left, end - position)
                if self._part_of_goaway is not None:
                    self._part_of_goaway += data[position : position + taken]
                    begin = position + taken
                position += taken
                self._left -= taken
                if self._part_of_goaway is not None and not self._left:
                    yield GoAway(*_goaway.unpack_from(self._part_of_goaway.ljust(8, b"\0")))
                    self._part_of_goaway = None
                continue
            held = self._part_of_head
            if len(held) + end - position < HEAD_SIZE:
                # Whether h2 may see it is known only when it is complete.
                self._part_of_head = held + data[position:]
                if begin < position:
                    yield data[begin:position]
                return
            start, position = position, position + HEAD_SIZE - len(held)
            raw = held + data[start:position]
            self._part_of_head = b""
            high, low, kind, flags, stream_id = _head(raw)
            self._left = high << 16 | low
            self._observe(FrameHead(kind, flags, stream_id & ALL_STREAMS, self._left))
            if kind == FrameType.GOAWAY:
                if begin < start:
                    yield data[begin:start]
                begin = position
                if self._left:
                    self._part_of_goaway = bytearray()
                else:
                    yield GoAway(0, ErrorCodes.FRAME_SIZE_ERROR)
            elif held:
                yield held
        if begin < end:
            yield data[begin:end] if begin else data
