"""What no honest server does: so many frames of a cheap kind in a second that answering them is all that we would do.

The tunnel server is trusted, but a bug on its side should cost it a connection rather than us a processor. The limits
are far above anything useful; beyond one of them the connection ends.

Streams that are opened and given up are not counted, however many: whoever calls through the tunnel decides about
those, and the requests of others are on the same connection. What they may take is limited in `connection`.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from restate_identity.tunnel.frames import END_HEADERS, FrameHead, FrameType

MAX_FRAME_SIZE = 64 * 1024
MAX_HEADER_BLOCK_SIZE = 128 * 1024
MAX_CONTINUATIONS = 16
"""In one header block."""

_ACK = _END_STREAM = 0x1


class Flood(Enum):
    """The kinds of frames that are counted, and how many of each may come in a second."""

    RESET = ("RST_STREAM frames for no stream", 1000)
    SETTINGS = ("SETTINGS frames", 100)
    PING = ("PING frames", 1000)
    EMPTY = ("empty frames", 1000)
    CONTINUATION = ("CONTINUATION frames", 1000)
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

    __slots__ = ("_block_frames", "_block_size", "_counts", "_resettable", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._counts: Counter[Flood] = Counter()
        self._block_frames = 0
        self._block_size = 0
        # Each stream can be reset once.
        self._resettable = 0

    def at(self, now: float) -> None:
        """Tell the time, in seconds; a new second begins with nothing counted."""
        if int(now) != self._second:
            self._second = int(now)
            self._counts.clear()

    def frame(self, head: FrameHead) -> None:
        """Count a frame, before anything is done about it.

        Raises:
            FloodError: It is one too many, or too large.
        """
        kind, flags, _, length = head
        if length > MAX_FRAME_SIZE:
            raise FloodError(f"a frame of {length} bytes, more than the {MAX_FRAME_SIZE} that were agreed")
        if kind == FrameType.DATA:
            if not length and not flags & _END_STREAM:
                self.count(Flood.EMPTY)
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

    def count(self, flood: Flood) -> None:
        """Count one more."""
        self._counts[flood] += 1
        if self._counts[flood] > flood.limit:
            raise FloodError(f"more than {flood.limit} {flood.description} in a second")

    def _headers(self, kind: int, flags: int, length: int) -> None:
        if kind == FrameType.HEADERS:
            self._block_frames = self._block_size = 0
            self._resettable += 1
        else:
            self._block_frames += 1
            self.count(Flood.CONTINUATION)
        self._block_size += length
        if self._block_frames > MAX_CONTINUATIONS or self._block_size > MAX_HEADER_BLOCK_SIZE:
            raise FloodError(f"a header block of {self._block_frames + 1} frames and {self._block_size} bytes")
        if not length and not flags & END_HEADERS:
            self.count(Flood.EMPTY)
