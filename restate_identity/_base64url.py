"""Encode and decode canonical base64url without padding (RFC 7515, 2): each value has exactly one text."""

from __future__ import annotations

import binascii

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# The valid last characters, by the length of the text modulo 4. For 0 all characters. For 1 none: no value has that
# length. For 2 and 3 those whose last 4 or 2 bits are zero, because these bits belong to no byte.
_LAST_CHARACTERS = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])


def encoded(raw: bytes) -> bytes:
    """Return the canonical text of *raw*."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO_URLSAFE)


def decoded(text: bytes) -> bytes:
    """Return the value of *text*.

    Raises:
        ValueError: *text* is not canonical.
    """
    # The decoder ignores unknown characters, padding and stray bits, so refuse all of them first.
    if text.translate(None, _ALPHABET) or (text and text[-1] not in _LAST_CHARACTERS[len(text) % 4]):
        raise ValueError("not canonical base64url without padding")
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + b"==")
