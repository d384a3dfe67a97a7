"""From header blocks to header fields (HPACK, RFC 7541), without h2.

h2 ends the whole connection over a request whose ``content-length`` it does not like, over a ``:status`` in a request,
and over trailers that do not end the stream. Each of those is the fault of one caller, and must cost only that caller
the request (RFC 9113, 8.1.1). So h2 is not shown the fields: it gets `stand_in` in their place, and keeps account of
the states of the streams. What the fields say is judged in `restate_identity.tunnel.stream`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from hpack import Decoder

from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameType

MAX_HEADER_LIST_SIZE = 64 * 1024
# A request with more than what we ask for is answered with 431; one with more than this ends the connection.
HARD_HEADER_LIST_SIZE = 4 * MAX_HEADER_LIST_SIZE

_stand_in = struct.Struct(">BHBBIB").pack
_METHOD_GET = 0x82  # the whole field is one byte: number 2 of the static table


class HeaderList(NamedTuple):
    """The fields of a request, or its trailers."""

    fields: list[tuple[bytes, bytes]]
    size: int
    """As RFC 9113, 6.5.2 counts it."""


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order in which they came."""

    def __init__(self) -> None:
        self._decoder = Decoder(HARD_HEADER_LIST_SIZE)

    def decode(self, block: bytes) -> HeaderList:
        """Return what a whole block says.

        Raises:
            hpack.OversizedHeaderListError: It says far too much.
            hpack.HPACKError: It cannot be read, and neither can those that come after it.
        """
        fields = [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        return HeaderList(fields, sum(len(name) + len(value) + 32 for name, value in fields))


def stand_in(stream_id: int, *, ends_stream: bool) -> bytes:
    """Return the HEADERS frame that h2 gets instead of a real one: it opens the stream, or is its trailers."""
    flags = END_HEADERS | END_STREAM if ends_stream else END_HEADERS
    return _stand_in(0, 1, FrameType.HEADERS, flags, stream_id, _METHOD_GET)
