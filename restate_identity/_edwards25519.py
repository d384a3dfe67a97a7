"""The check that 32 bytes are a sound Ed25519 key, in pure Python: for Pyodide, where libsodium is missing.

It gives the verdict of libsodium's `crypto_core_ed25519_is_valid_point`. It takes some milliseconds, once for a key.
"""

from __future__ import annotations

P = 2**255 - 19
"""The prime of the field (RFC 8032, 5.1)."""
L = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point."""
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# A point of the curve -x² + y² = 1 + D·x²·y², as (X, Y, Z, T) with x = X/Z, y = Y/Z, x·y = T/Z (RFC 8032, 5.1.4).
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


def is_sound(raw: bytes) -> bool:
    """Return whether these 32 bytes are the canonical encoding of a point of the prime-order group, not the neutral."""
    # The sign of x is ignored: a point and its negative have the same order. So is y ≥ P: a second encoding exists only
    # of points with y < 19, and none of them is in the prime-order group but the neutral one. The tests try each.
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    x = _x_of(y)
    if x is None:
        return False
    point = (x, y, 1, x * y % P)
    # The order of the group is 8·L, so L times the point is neutral for the points of the prime-order group alone.
    return not _is_neutral(point) and _is_neutral(_times(L, point))


def _x_of(y: int) -> int | None:
    """Return one of the two x that belong to *y* (RFC 8032, 5.1.3), None if no point of the curve has this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    return x if x * x % P == square else None


def _is_neutral(point: Point) -> bool:
    """Return whether y is 1, which no other point of the curve has."""
    _, y, z, _ = point
    return (y - z) % P == 0


def _times(scalar: int, point: Point) -> Point:
    total = NEUTRAL
    for bit in f"{scalar:b}":
        total = _sum(total, total)
        if bit == "1":
            total = _sum(total, point)
    return total


def _sum(one: Point, other: Point) -> Point:
    """Add two points; the formula holds for equal ones, too (RFC 8032, 5.1.4)."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
