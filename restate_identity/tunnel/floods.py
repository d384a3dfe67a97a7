"""What no honest server does: so many frames of a cheap kind in a second that answering them is all that we would do.

The tunnel server is trusted, but a bug on its side should cost it a connection rather than us a processor. The limits
are far above anything useful; beyond one of them the connection ends.

Whoever calls through the tunnel decides about some of it, and the requests of others are on the same connection. Too
many empty DATA frames cost only their stream. Streams that are opened and given up are not counted, however many; what
they may take is limited in `connection`. Header blocks are counted only when they come in very small parts, which is
the server's doing; how much they unpack to is limited in `header_blocks`.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameHead, FrameType, Verdict

MAX_FRAME_SIZE = 64 * 1024
MAX_HEADER_BLOCK_SIZE = 1024 * 1024
MAX_CONTINUATIONS = 64
"""In one header block: so many of 16 KiB, the smallest size that two ends can agree upon, make a block of that size."""
MAX_EMPTY_DATA = 1000
"""On one stream, in a second."""

_ACK = 0x1
# A part of a header block that is smaller than this, and not the last one.
_SHORT = 1024


class Flood(Enum):
    """The kinds of frames that are counted, and how many of each may come in a second."""

    RESET = ("RST_STREAM frames for no stream", 1000)
    SETTINGS = ("SETTINGS frames", 100)
    PING = ("PING frames", 1000)
    EMPTY = ("empty frames", 1000)
    SHORT_PART = ("short parts of header blocks", 1000)
    PRIORITY = ("PRIORITY frames", 1000)
    UNKNOWN = ("frames of unknown types", 1000)
    WINDOW_UPDATE = ("WINDOW_UPDATE frames", 20_000)

    def __init__(self, description: str, limit: int) -> None:
        self.description = description
        self.limit = limit


_COUNTED: dict[int, Flood] = {
    FrameType.SETTINGS: Flood.SETTINGS,
    FrameType.PING: Flood.PING,
    FrameType.PRIORITY: Flood.PRIORITY,
    FrameType.WINDOW_UPDATE: Flood.WINDOW_UPDATE,
}


class FloodError(Exception):
    """The connection must end (ENHANCE_YOUR_CALM). The message says what there was too much of; it is safe to log."""


class FloodGauge:
    """Counts, for one connection, what came in the current second."""

    __slots__ = ("_block_frames", "_block_size", "_counts", "_empty", "_resettable", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._counts: Counter[Flood] = Counter()
        self._empty: Counter[int] = Counter()
        self._block_frames = 0
        self._block_size = 0
        # Each stream can be reset once.
        self._resettable = 0

    def at(self, now: float) -> None:
        """Tell the time, in seconds; a new second begins with nothing counted."""
        if int(now) != self._second:
            self._second = int(now)
            self._counts.clear()
            self._empty.clear()

    def frame(self, head: FrameHead) -> Verdict:
        """Count a frame, before anything is done about it.

        Raises:
            FloodError: It is one too many, or too large.
        """
        kind, flags, stream_id, length = head
        if length > MAX_FRAME_SIZE:
            raise FloodError(f"a frame of {length} bytes, more than the {MAX_FRAME_SIZE} that were agreed")
        if kind == FrameType.DATA:
            if not length and not flags & END_STREAM and stream_id:
                return self._empty_data(stream_id)
        elif kind == FrameType.HEADERS or kind == FrameType.CONTINUATION:
            self._headers(kind, flags, length)
        elif kind == FrameType.RST_STREAM:
            if self._resettable:
                self._resettable -= 1
            else:
                self.count(Flood.RESET)
        elif kind == FrameType.GOAWAY or kind == FrameType.PUSH_PROMISE:
            pass  # one is enough
        elif flags & _ACK and (kind == FrameType.SETTINGS or kind == FrameType.PING):
            # Nothing is answered, so more than we asked for are only empty words.
            self.count(Flood.EMPTY)
        else:
            self.count(_COUNTED.get(kind, Flood.UNKNOWN))
        return Verdict.PASS

    def count(self, flood: Flood) -> None:
        """Count one more."""
        self._counts[flood] += 1
        if self._counts[flood] > flood.limit:
            raise FloodError(f"more than {flood.limit} {flood.description} in a second")

    def _empty_data(self, stream_id: int) -> Verdict:
        # They are dropped unread, which costs less than a frame of one byte. Once the stream is reset, more may be on
        # their way.
        self._empty[stream_id] += 1
        return Verdict.RESET if self._empty[stream_id] == MAX_EMPTY_DATA + 1 else Verdict.DROP

    def _headers(self, kind: int, flags: int, length: int) -> None:
        if kind == FrameType.HEADERS:
            self._block_frames = self._block_size = 0
            self._resettable += 1
        else:
            self._block_frames += 1
        self._block_size += length
        if self._block_frames > MAX_CONTINUATIONS or self._block_size > MAX_HEADER_BLOCK_SIZE:
            raise FloodError(f"a header block of {self._block_frames + 1} frames and {self._block_size} bytes")
        if length < _SHORT and not flags & END_HEADERS:
            self.count(Flood.SHORT_PART)
