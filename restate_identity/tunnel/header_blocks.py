"""From header blocks to header fields (HPACK, RFC 7541), without h2.

h2 ends the whole connection over a request whose ``content-length`` it does not like, over a ``:status`` in a request,
and over trailers that do not end the stream. Each of those is the fault of one caller, and must cost only that caller
the request (RFC 9113, 8.1.1). So h2 is not shown the fields: it gets `stand_in` in their place, and keeps account of
the states of the streams. What the fields say is judged in `restate_identity.tunnel.stream`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hpack import Decoder, HPACKDecodingError, OversizedHeaderListError

from restate_identity.tunnel.floods import FloodError
from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameType

MAX_HEADER_LIST_SIZE = 64 * 1024
# A request with more than that is answered with 431. One with more than this ends the connection: to go on with it, all
# of it must be decoded, and the other requests wait while that is done.
HARD_HEADER_LIST_SIZE = 1024 * 1024
# hpack copies the rest of what it is given for each field in it, so a large block is decoded in pieces.
_PIECE_SIZE = 8 * 1024
# Of a number: enough for anything that fits into a block.
_MAX_SEPTETS = 4

_stand_in = struct.Struct(">BHBBIB").pack
_METHOD_GET = 0x82  # the whole field is one byte: number 2 of the static table


class HeaderList(NamedTuple):
    """The fields of a request, or its trailers."""

    fields: list[tuple[bytes, bytes]]
    """Not all of them, if they are too large together."""
    size: int
    """Of all of them, as RFC 9113, 6.5.2 counts it."""


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order in which they came."""

    def __init__(self) -> None:
        self._decoder = Decoder(HARD_HEADER_LIST_SIZE)

    def decode(self, block: bytes) -> HeaderList:
        """Return what a whole block says.

        All of it is decoded, however large: the blocks that follow refer to it. But what is too large is not kept.

        Raises:
            FloodError: It says far too much.
            hpack.HPACKError: It cannot be read, and neither can those that come after it.
        """
        fields: list[tuple[bytes, bytes]] = []
        size = 0
        for piece in _pieces(block):
            try:
                decoded = self._decoder.decode(piece, raw=True)
            except OversizedHeaderListError:
                raise _too_large() from None
            for name, value in decoded:
                size += len(name) + len(value) + 32
                if size <= MAX_HEADER_LIST_SIZE:
                    fields.append((name, value))
            if size > HARD_HEADER_LIST_SIZE:
                raise _too_large()
        return HeaderList(fields, size)


def _too_large() -> FloodError:
    return FloodError(f"a header list of more than {HARD_HEADER_LIST_SIZE} bytes")


def _pieces(block: bytes) -> Iterator[bytes]:
    """Cut a header block between two fields, so that no piece is large unless a single field is."""
    start = position = 0
    if len(block) > _PIECE_SIZE:
        while position < len(block):
            try:
                end = _end_of_field(block, position)
            except IndexError:
                break  # it ends within a number: the decoder will say so
            if end - start > _PIECE_SIZE and start < position:
                yield block[start:position]
                start = position
            position = end
    yield block[start:]


def _end_of_field(block: bytes, position: int) -> int:
    """Return where the next field begins (RFC 7541, 6)."""
    first = block[position]
    if first & 0x80:
        return _integer(block, position, 0x7F)[1]
    if first & 0x40:
        name_index, position = _integer(block, position, 0x3F)
    elif first & 0x20:
        return _integer(block, position, 0x1F)[1]
    else:
        name_index, position = _integer(block, position, 0x0F)
    for _ in range(1 if name_index else 2):
        length, position = _integer(block, position, 0x7F)
        position += length
    return position


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return a number whose first bits are those of *mask*, and where it ends (RFC 7541, 5.1)."""
    number = block[position] & mask
    position += 1
    if number < mask:
        return number, position
    for shift in range(0, 7 * _MAX_SEPTETS, 7):
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise HPACKDecodingError("a number that is too long")


def stand_in(stream_id: int, *, ends_stream: bool) -> bytes:
    """Return the HEADERS frame that h2 gets instead of a real one: it opens the stream, or is its trailers."""
    flags = END_HEADERS | END_STREAM if ends_stream else END_HEADERS
    return _stand_in(0, 1, FrameType.HEADERS, flags, stream_id, _METHOD_GET)
