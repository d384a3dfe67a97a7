"""The format of an encrypted value, without any key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.encryption import EncryptionError, EncryptionReason
from restate_identity.encryption.frames import PREFIX, head, is_reserved, read_frame

KEY = bytes(range(184))
REST = b"i" * 12 + b"sealed" + b"t" * 16


def refusal(value: bytes, **limits: int) -> EncryptionError:
    with pytest.raises(EncryptionError) as caught:
        read_frame(value, **limits)
    return caught.value


def reason(value: bytes, **limits: int) -> EncryptionReason:
    return refusal(value, **limits).reason


def test_the_parts_are_where_the_format_has_them() -> None:
    value = b"RTv1\x00" + b"\x00\xb8" + KEY + REST
    assert head(KEY) + REST == value
    frame = read_frame(value)
    assert (frame.encrypted_key, frame.iv, bytes(frame.sealed)) == (KEY, b"i" * 12, b"sealed" + b"t" * 16)


@pytest.mark.parametrize("size", [1, 184, 255, 256, 65535])
def test_an_encrypted_key_may_have_any_size_that_the_format_can_write(size: int) -> None:
    assert read_frame(head(b"k" * size) + REST).encrypted_key == b"k" * size


@pytest.mark.parametrize("size", [0, 65536])
def test_no_other_size_is_written(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535 bytes"):
        head(b"k" * size)


def test_the_ciphertext_of_nothing_is_a_tag() -> None:
    assert bytes(read_frame(head(KEY) + bytes(12) + bytes(16)).sealed) == bytes(16)


@pytest.mark.parametrize(
    ("value", "is_plaintext"),
    [
        *((b"", True), (b"R", True), (b'{"name": 1}', True), (b"rtv1\0" + bytes(300), True)),
        *((b"RTv2\0" + bytes(300), False), (b"RTv1", False)),
    ],
)
def test_what_begins_otherwise_is_not_encrypted(value: bytes, is_plaintext: bool) -> None:
    error = refusal(value)
    assert error.reason is EncryptionReason.NOT_ENCRYPTED
    # Only plaintext can be accepted for a time.
    assert ("accept_plaintext_until" in error.hint) is is_plaintext


def test_a_value_cut_anywhere_is_truncated() -> None:
    whole = head(KEY) + bytes(12) + bytes(16)
    for size in range(5, len(whole)):
        error = refusal(whole[:size])
        assert error.reason is EncryptionReason.TRUNCATED, size
        assert f"has {size} bytes" in error.hint
        assert f"at least {len(whole) if size >= 7 else 7}" in error.hint


@pytest.mark.parametrize("beginning", [b"\x01\x02\x02\x00", b"\x01\x02\x03\x00"])
def test_the_older_revision_without_a_size_is_refused_and_never_written(beginning: bytes) -> None:
    assert reason(PREFIX + beginning + bytes(500)) is EncryptionReason.OLD_REVISION
    with pytest.raises(ValueError, match="older revision"):
        head(beginning[2:] + bytes(256))
    assert read_frame(head(bytes(258)) + REST).encrypted_key == bytes(258)


def test_a_key_beyond_the_limit_is_refused() -> None:
    value = head(KEY) + REST
    assert reason(value, max_key_size=183) is EncryptionReason.OVERSIZED_DATA_KEY
    assert read_frame(value, max_key_size=184).encrypted_key == KEY


def test_an_empty_key_is_nobodys() -> None:
    assert reason(PREFIX + b"\0\0" + REST) is EncryptionReason.UNKNOWN_DATA_KEY


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(b"RTv1", True), (b"RTv1\0", True), (b"RTv1x", True), (b"RTv2\0", True), (b"RTv2x", False), (b"RTv", False)],
)
def test_what_begins_like_an_encrypted_value_is_reserved(value: bytes, is_one: bool) -> None:
    assert is_reserved(value) is is_one


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda rest: PREFIX + rest))
def test_any_bytes_are_read_or_refused_and_what_is_read_is_whole(value: bytes) -> None:
    try:
        frame = read_frame(value)
    except EncryptionError:
        return
    assert head(frame.encrypted_key) + frame.iv + bytes(frame.sealed) == value
