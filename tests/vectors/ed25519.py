"""Ed25519 written out from RFC 8032, with the parts that a library hides: any scalar, any point, any encoding.

Slow and not constant-time: it makes signatures that no honest signer makes, for tests.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

P = 2**255 - 19
"""The prime of the field."""
L = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point."""
D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


class Point(NamedTuple):
    """A point of the curve -x² + y² = 1 + D·x²·y², in affine coordinates."""

    x: int
    y: int

    def __add__(self, other: Point) -> Point:  # type: ignore[override]  # points are added, not concatenated
        product = D * self.x * other.x * self.y * other.y % P
        x = (self.x * other.y + other.x * self.y) * pow(1 + product, -1, P)
        y = (self.y * other.y + self.x * other.x) * pow(1 - product, -1, P)
        return Point(x % P, y % P)

    def times(self, scalar: int) -> Point:
        total, addend = NEUTRAL, self
        while scalar:
            if scalar & 1:
                total += addend
            addend += addend
            scalar >>= 1
        return total

    def encoded(self) -> bytes:
        return (self.y | (self.x & 1) << 255).to_bytes(32, "little")


def point(y: int, *, odd: bool = False) -> Point:
    """The point with this y whose x is odd or even (RFC 8032, 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        raise ValueError("there is no point with this y")
    return Point(-x % P if x & 1 != odd else x, y)


NEUTRAL = Point(0, 1)
BASE = point(4 * pow(5, -1, P) % P)
ORDER_2 = Point(0, P - 1)
ORDER_4 = point(0)
ORDER_8 = point(
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
)


def secret_scalar(seed: bytes) -> int:
    """The scalar that a private key stands for (RFC 8032, 5.1.5)."""
    raw = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return raw & (1 << 254) - 8 | 1 << 254


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    """The scalar k of RFC 8032, 5.1.7: the hash of R, A and the message."""
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def sign(
    message: bytes, a: bytes, scalar: int, *, nonce: int, torsion: Point = NEUTRAL, r: bytes | None = None
) -> bytes:
    """Sign with the secret *scalar* for the encoded key *a*, with R = nonce·B + *torsion*, or with R written as *r*."""
    r = (BASE.times(nonce) + torsion).encoded() if r is None else r
    return r + ((nonce + challenge(r, a, message) * scalar) % L).to_bytes(32, "little")
