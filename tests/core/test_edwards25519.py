"""The check of a key in pure Python: the same verdict as libsodium on keys, and on every kind of point that is none."""

from __future__ import annotations

import random

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_seed_keypair

from restate_identity._edwards25519 import is_sound
from tests.vectors.ed25519 import BASE, ORDER_8, L, P

draw = random.Random(16)
TORSION = [ORDER_8.times(number) for number in range(8)]


def encodings_of_small_y() -> list[bytes]:
    """Each y that has a second encoding, both ways and with both signs; and the largest numbers of 255 bits."""
    numbers = [y + add for y in range(19) for add in (0, P)] + [P - 1, P - 2, 2**255 - 1]
    return [(number | sign << 255).to_bytes(32, "little") for number in numbers for sign in (0, 1)]


def points_of_every_order() -> list[bytes]:
    points = [BASE.times(draw.randrange(1, L)) for _ in range(4)]
    return [(point + torsion).encoded() for point in points for torsion in TORSION] + [
        torsion.encoded() for torsion in TORSION
    ]


def genuine_keys() -> list[bytes]:
    return [crypto_sign_seed_keypair(draw.randbytes(32))[0] for _ in range(30)]


def changed_keys() -> list[bytes]:
    changed = []
    for raw in genuine_keys():
        bit = draw.randrange(256)
        changed.append((int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(32, "little"))
    return changed


def test_a_key_gets_the_verdict_of_libsodium_in_pure_python() -> None:
    cases = [*encodings_of_small_y(), *points_of_every_order(), *genuine_keys(), *changed_keys()]
    verdicts = [is_sound(raw) for raw in cases]
    assert verdicts == [crypto_core_ed25519_is_valid_point(raw) for raw in cases]
    assert 30 < sum(verdicts) < len(cases) - 100


def test_many_random_bytes_get_the_verdict_of_libsodium_in_pure_python() -> None:
    cases = [draw.randbytes(32) for _ in range(100)]
    assert [is_sound(raw) for raw in cases] == [crypto_core_ed25519_is_valid_point(raw) for raw in cases]


def test_points_outside_the_prime_order_group_are_refused_one_by_one() -> None:
    point = BASE.times(12345)
    assert is_sound(point.encoded())
    for torsion in TORSION:
        assert not is_sound(torsion.encoded())
        assert is_sound((point + torsion).encoded()) is (torsion == TORSION[0])
