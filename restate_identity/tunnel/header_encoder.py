"""Encode header fields (HPACK, RFC 7541) without a dynamic table and without Huffman.

Both would make a head smaller by some hundred bytes, and cost more time than anything else that happens to it. What
occurs again and again, such as ``:status: 200``, is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hpack import Encoder
from hpack.table import HeaderTable

_WHOLE = {tuple(field): index for index, field in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))}
_NAMES = {name: index for (name, _), index in _WHOLE.items()}
_SHORT = 64
# Proxies must not put these into a table (RFC 7541, 7.1.3).
_SECRETS = frozenset((b"authorization", b"cookie", b"x-restate-jwt-v1"))


class StatelessEncoder(Encoder):
    """An encoder of hpack for h2."""

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:  # noqa: ARG002 (the interface of hpack)
        """Return the block with these fields, names and values as bytes."""
        if self.header_table.resized:
            # The other side wants a smaller table; ours is empty.
            self.header_table.resized = False
            self.table_size_changes.clear()
            parts = [b"\x20"]
        else:
            parts = []
        for name, value in headers:
            again = len(value) <= _SHORT and name not in _SECRETS
            parts.append(_short(name, value) if again else _literal(name, value))
        return b"".join(parts)


@lru_cache(maxsize=4096)
def _short(name: bytes, value: bytes) -> bytes:
    index = _WHOLE.get((name, value))
    return bytes((0x80 | index,)) if index is not None else _literal(name, value)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"%b%b%b" % (_name(name), _length(len(value)), value)


@lru_cache(maxsize=1024)
def _name(name: bytes) -> bytes:
    pattern = 0x10 if name in _SECRETS else 0
    index = _NAMES.get(name)
    if index is None:
        return bytes((pattern,)) + _length(len(name)) + name
    return _integer(index, 0x0F, pattern)


@lru_cache(maxsize=1024)
def _length(length: int) -> bytes:
    return _integer(length, 0x7F, 0)


def _integer(number: int, mask: int, pattern: int) -> bytes:
    """Return *number* behind a *pattern*, with a prefix of the bits in *mask* (RFC 7541, 5.1)."""
    if number < mask:
        return bytes((pattern | number,))
    encoded = bytearray((pattern | mask,))
    number -= mask
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
