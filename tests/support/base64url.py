"""Lax base64url without padding, for forgeries; the library's own is strict."""

from __future__ import annotations

import base64


def base64url(raw: bytes | bytearray) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
