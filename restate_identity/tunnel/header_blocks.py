"""Decode header blocks to header fields, without h2, and encode them for it (HPACK, RFC 7541).

h2 ends the whole connection if a request has a wrong ``content-length`` or a ``:status``, or if its trailers do not end
the stream. One caller causes each of these errors, and only that caller's request may fail (RFC 9113, 8.1.1). So h2
does not see the fields: it gets the frame from `stand_in` instead, and tracks only the state of each stream.
`restate_identity.tunnel.request` checks the fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from hpack import Decoder, Encoder, HPACKDecodingError, OversizedHeaderListError

from restate_identity.tunnel.floods import FloodError
from restate_identity.tunnel.frames import END_HEADERS, END_STREAM, FrameType

# A request with a larger header list is answered with 431.
MAX_HEADER_LIST_SIZE = 64 * 1024
# A larger header list ends the connection: continuing would require decoding all of it while other requests wait.
HARD_HEADER_LIST_SIZE = 1024 * 1024
# hpack copies the rest of its input for each field, so a large block is decoded in pieces.
_PIECE_SIZE = 8 * 1024
# The maximum length of an encoded integer, enough for any length that fits into a block.
_MAX_SEPTETS = 4

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
        self._decoder = Decoder(HARD_HEADER_LIST_SIZE)

    def decode(self, block: bytes) -> HeaderList:
        """Decode a complete header block.

        All of the block is decoded even if it is large, because later blocks refer to its fields. Fields beyond
        `MAX_HEADER_LIST_SIZE` are not kept.

        Raises:
            FloodError: The header list exceeds `HARD_HEADER_LIST_SIZE`.
            hpack.HPACKError: The block cannot be decoded; nor can any later block of the connection.
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
    """Split a header block between fields, so that a piece is large only if a single field is."""
    start = position = 0
    if len(block) > _PIECE_SIZE:
        while position < len(block):
            try:
                end = _end_of_field(block, position)
            except IndexError:
                break  # the block is truncated; the decoder reports that
            if end - start > _PIECE_SIZE and start < position:
                yield block[start:position]
                start = position
            position = end
    yield block[start:]


def _end_of_field(block: bytes, position: int) -> int:
    """Return the position after the field that begins at *position* (RFC 7541, 6)."""
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
    """Return the integer at *position*, with a prefix of the bits in *mask*, and where it ends (RFC 7541, 5.1)."""
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
    raise HPACKDecodingError("an integer that is too long")


class PlainEncoder(Encoder):
    """Encodes header fields without Huffman, for which hpack takes a time that grows with the square of a field."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:  # noqa: ARG002, D102 (the interface of hpack)
        return super().encode(headers, huffman=False)


def stand_in(stream_id: int, *, ends_stream: bool) -> bytes:
    """Return the HEADERS frame to give to h2 in place of a real one, which opens the stream or holds its trailers."""
    flags = END_HEADERS | END_STREAM if ends_stream else END_HEADERS
    return _stand_in(0, 1, FrameType.HEADERS, flags, stream_id, _METHOD_GET)
