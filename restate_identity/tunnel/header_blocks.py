"""Decode header blocks to header fields (HPACK, RFC 7541), without h2.

h2 ends the whole connection if a request has a wrong ``content-length`` or a ``:status``, or if its trailers do not end
the stream. One caller causes each of these errors, and only that caller's request may fail (RFC 9113, 8.1.1). So h2
does not see the fields: it gets the frame from `stand_in` instead, and tracks only the state of each stream.
`restate_identity.tunnel.request` checks the fields.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from hpack import OversizedHeaderListError

from restate_identity.tunnel.floods import FloodError
from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameType
from restate_identity.tunnel.header_decoder import FieldDecoder

# A request with a larger header list is answered with 431.
MAX_HEADER_LIST_SIZE = 64 * 1024
# A larger header list ends the connection: continuing would require decoding all of it while other requests wait.
HARD_HEADER_LIST_SIZE = 1024 * 1024

_stand_in = struct.Struct(">BHBBIB").pack
_METHOD_GET = 0x82  # the field ":method: GET" as one byte, entry 2 of the static table


class HeaderList(NamedTuple):
    """The decoded header fields, or trailers, of a request."""

    fields: list[tuple[bytes, bytes]]
    """Incomplete if *size* exceeds `MAX_HEADER_LIST_SIZE`."""
    size: int
    """The size of all fields in bytes, counted as in RFC 9113, 6.5.2."""


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order in which they arrive."""

    def __init__(self) -> None:
        self._decoder = FieldDecoder(HARD_HEADER_LIST_SIZE, keep=MAX_HEADER_LIST_SIZE)

    def decode(self, block: bytes) -> HeaderList:
        """Decode a complete header block.

        All of the block is decoded even if it is large, because later blocks refer to its fields. Fields beyond
        `MAX_HEADER_LIST_SIZE` are not kept.

        Raises:
            FloodError: The header list exceeds `HARD_HEADER_LIST_SIZE`.
            hpack.HPACKError: The block cannot be decoded; nor can any later block of the connection.
        """
        try:
            return HeaderList(*self._decoder.fields(block))
        except OversizedHeaderListError:
            raise FloodError(f"a header list of more than {HARD_HEADER_LIST_SIZE} bytes") from None


def stand_in(stream_id: int, *, ends_stream: bool) -> bytes:
    """Return the HEADERS frame to give to h2 in place of a real one, which opens the stream or holds its trailers."""
    flags = END_HEADERS | END_STREAM if ends_stream else END_HEADERS
    return _stand_in(0, 1, FrameType.HEADERS, flags, stream_id, _METHOD_GET)
