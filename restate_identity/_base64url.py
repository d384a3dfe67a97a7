"""base64url without padding (RFC 7515, 2), canonical only: each text has one value, and each value one text."""

from __future__ import annotations

import binascii

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# What may come last, by the number of characters beyond a multiple of four: anything; nothing, for no bytes have that
# length; and characters whose last 4 or 2 bits, which belong to no byte, are not set.
_LAST_CHARACTERS = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])


def encoded(raw: bytes) -> bytes:
    """Return the canonical text of *raw*."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO_URLSAFE)


def decoded(text: bytes) -> bytes:
    """Return the value of *text*.

    Raises:
        ValueError: It is not canonical.
    """
    # The decoder skips what it does not know, padding and stray bits included, so all of that is told apart first.
    if text.translate(None, _ALPHABET) or (text and text[-1] not in _LAST_CHARACTERS[len(text) % 4]):
        raise ValueError("not canonical base64url without padding")
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + b"==")
