"""Limits on frames that are cheap to send but cost us work, such as PING or SETTINGS, counted per second.

The tunnel server is trusted, but a bug in it should cost it a connection rather than us a processor. The limits are far
above any useful rate; exceeding one ends the connection.

Callers on the other side of the tunnel control some frames, and they share the connection with other callers. So too
many empty DATA frames end only their stream. Streams that are opened and reset are never counted as a flood;
`restate_identity.tunnel.requests` limits what they can use. Header blocks count only if they are split into very small
parts, which only the server does; `restate_identity.tunnel.header_blocks` limits their decoded size.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameHead, FrameType, Verdict

MAX_FRAME_SIZE = 64 * 1024
MAX_HEADER_BLOCK_SIZE = 1024 * 1024
MAX_CONTINUATIONS = 64
"""Per header block. With frames of 16 KiB, the smallest maximum frame size of HTTP/2, this makes a block of 1 MiB."""
MAX_EMPTY_DATA = 1000
"""Empty DATA frames on one stream, in one second."""

_ACK = 0x1
# A part of a header block counts as short if it has fewer bytes than this and is not the last part.
_SHORT = 1024


class Flood(Enum):
    """The kinds of frames that are counted, each with its limit per second."""

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
    """The connection must end (ENHANCE_YOUR_CALM). The message names the limit that was exceeded; it is safe to log."""


class FloodGauge:
    """Counts the frames of one connection in the current second."""

    __slots__ = ("_block_frames", "_block_size", "_counts", "_empty", "_resettable", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._counts: Counter[Flood] = Counter()
        self._empty: Counter[int] = Counter()
        self._block_frames = 0
        self._block_size = 0
        # How many RST_STREAM frames are expected: one for each stream that was opened.
        self._resettable = 0

    def at(self, now: float) -> None:
        """Set the time to *now*, in seconds. A new second resets all counts."""
        if int(now) != self._second:
            self._second = int(now)
            self._counts.clear()
            self._empty.clear()

    def frame(self, head: FrameHead) -> Verdict:
        """Count a frame by its *head*, before it is processed, and return what to do with it.

        Raises:
            FloodError: The frame exceeds a limit, or is too large.
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
            # An acknowledgement needs no answer, so unexpected ones count as empty frames.
            self.count(Flood.EMPTY)
        else:
            self.count(_COUNTED.get(kind, Flood.UNKNOWN))
        return Verdict.PASS

    def stream_opened(self) -> None:
        """Expect another RST_STREAM, because we have opened a stream."""
        self._resettable += 1

    def count(self, flood: Flood) -> None:
        """Count one frame of the kind *flood*."""
        self._counts[flood] += 1
        if self._counts[flood] > flood.limit:
            raise FloodError(f"more than {flood.limit} {flood.description} in a second")

    def _empty_data(self, stream_id: int) -> Verdict:
        # Dropping an empty frame costs less than handling a frame of one byte. After the reset more may still arrive.
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
