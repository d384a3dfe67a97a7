"""Our decoder of header blocks reads every block as hpack's does, and refuses what that refuses."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKDecodingError, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.tunnel.header_decoder import FieldDecoder
from restate_identity.tunnel.huffman import decoded

NAMES = st.sampled_from([b":path", b":status", b"x-a", b"x-restate-jwt-v1", b"content-type", b"accept-charset"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=60), st.booleans()), max_size=8)


def both(blocks: list[bytes]) -> tuple[object, object]:
    """Return what both decoders read, up to the first error."""
    theirs, ours = Decoder(), FieldDecoder(65_536, keep=65_536)
    read: tuple[list[object], list[object]] = ([], [])
    for block in blocks:
        try:
            read[0].append([tuple(field) for field in theirs.decode(block, raw=True)])
        except HPACKError:
            read[0].append("malformed")
        try:
            read[1].append([tuple(field) for field in ours.fields(block)[0]])
        except HPACKError:
            read[1].append("malformed")
        if "malformed" in (read[0][-1], read[1][-1]):
            break
    return read


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.sampled_from([None, 0, 100, 4096])), max_size=5))
def test_what_an_encoder_writes_is_read(blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]]) -> None:
    encoder = Encoder()
    encoded = []
    for fields, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        encoded.append(encoder.encode(fields, huffman=huffman))
    theirs, ours = both(encoded)
    assert ours == theirs
    assert ours == [[(name, value) for name, value, _ in fields] for fields, _, _ in blocks]


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_are_read_alike(blocks: list[bytes]) -> None:
    theirs, ours = both(blocks)
    assert ours == theirs


@given(FIELDS.filter(bool), st.booleans(), st.data())
def test_a_damaged_block_is_read_alike(
    fields: list[tuple[bytes, bytes, bool]], huffman: bool, data: st.DataObject
) -> None:
    block = bytearray(Encoder().encode(fields, huffman=huffman))
    block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    theirs, ours = both([bytes(block[: data.draw(st.integers(0, len(block)))])])
    assert ours == theirs


@pytest.mark.parametrize(
    "code",
    [
        b"\xff",  # eight bits of padding
        b"\xff\xff\xff\xff",  # the end of string, which must not occur
        b"\x00",  # padding that is not of ones
        b"\x1f\xff",
    ],
)
def test_a_malformed_huffman_code_is_refused(code: bytes) -> None:
    with pytest.raises(HPACKDecodingError):
        decoded(code)


def test_an_integer_that_is_too_long_is_refused() -> None:
    with pytest.raises(HPACKDecodingError, match="too long"):
        FieldDecoder(65_536, keep=65_536).fields(b"\xff" + b"\x80" * 10 + b"\x01")


def test_a_field_that_is_not_kept_is_still_in_the_table() -> None:
    encoder, decoder = Encoder(), FieldDecoder(1000, keep=100)
    fields, size = decoder.fields(encoder.encode([(b"x-a", b"a" * 60), (b"x-b", b"b" * 60)]))
    assert (fields, size) == ([(b"x-a", b"a" * 60)], 190)
    assert decoder.fields(encoder.encode([(b"x-b", b"b" * 60)])) == ([(b"x-b", b"b" * 60)], 95)
