"""Ed25519 itself: the vectors of its authors, and published edge cases on which libraries disagree.

The library verifies the equation without the cofactor, S·B = R + k·A, with S reduced, R compared byte for byte, and
neither R nor the key of small order. Keys outside the prime-order group are refused when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from restate_identity import InvalidKeyError, PublicKey
from tests.support import ROOT
from tests.vectors.ed25519 import BASE, NEUTRAL, ORDER_2, ORDER_4, ORDER_8, L, P, Point, challenge, point, sign
from tests.vectors.ed25519 import secret_scalar as scalar_of
from tests.vectors.forge import OWN

EDGE_CASES: list[dict[str, Any]] = json.loads(
    (ROOT / "tests" / "vectors" / "data" / "ed25519_edge_cases.json").read_text("utf-8")
)["cases"]
WYCHEPROOF: list[dict[str, Any]] = json.loads(
    (ROOT / "tests" / "vectors" / "data" / "wycheproof_ed25519.json").read_text("utf-8")
)["cases"]
MESSAGE = b"a message"
SCALAR = scalar_of(OWN.seed)


class Signed(NamedTuple):
    key: bytes
    message: bytes
    signature: bytes


def authors_vectors() -> Iterator[Signed]:
    """The 1024 vectors of Ed25519's authors. A line: secret + public key, public key, message, signature + message."""
    with cryptography_vectors.open_vector_file("asymmetric/Ed25519/sign.input", "r") as file:
        for line in file:
            _, key, message, signed, _ = line.split(":")
            yield Signed(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signed)[:64])


VECTORS = list(authors_vectors())


def openssl_accepts(vector: Signed) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(vector.key).verify(vector.signature, vector.message)
    except InvalidSignature:
        return False
    return True


def test_every_vector_of_the_authors_is_accepted() -> None:
    assert len(VECTORS) == 1024
    assert all(PublicKey(key).verify(message, signature) for key, message, signature in VECTORS)


def test_every_vector_of_the_authors_is_refused_with_one_bit_changed() -> None:
    for number, (key, message, signature) in enumerate(VECTORS):
        changed = bytearray(signature)
        changed[number % 64] ^= 1 << number // 64 % 8
        assert not PublicKey(key).verify(message, bytes(changed))
        assert not PublicKey(key).verify(message + b"\0", signature)


def test_wycheproof_gives_the_same_verdicts() -> None:
    for case in WYCHEPROOF:
        key, message, signature = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
        assert PublicKey(key).verify(message, signature) is case["valid"], case["id"]


def lax_point(encoded: bytes) -> Point:
    """The point that a decoder without checks makes of *encoded*."""
    number = int.from_bytes(encoded, "little")
    return point((number & (1 << 255) - 1) % P, odd=bool(number >> 255))


def kind(encoded: bytes) -> str:
    found = lax_point(encoded)
    group = "small" if found.times(8) == NEUTRAL else "prime" if found.times(L) == NEUTRAL else "mixed"
    return group if found.encoded() == encoded else f"{group}, not canonical"


@pytest.mark.parametrize("case", EDGE_CASES, ids=[f"{case['a']}-{case['r']}-{case['s']}" for case in EDGE_CASES])
class TestAPublishedEdgeCase:
    """From "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020). ``a``: the key, ``r`` and ``s``: the halves
    of the signature; ``cofactorless`` and ``cofactored``: which equation holds when every check is left out.
    """

    def test_it_is_what_the_file_says(self, case: dict[str, Any]) -> None:
        key, message, signature = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
        s = int.from_bytes(signature[32:], "little")
        assert (kind(key), kind(signature[:32])) == (case["a"], case["r"])
        assert ("reduced" if s < L else "not reduced") == case["s"]
        k = challenge(signature[:32], key, message)
        right = lax_point(signature[:32]) + lax_point(key).times(k)
        assert (BASE.times(s) == right) is case["cofactorless"]
        assert (BASE.times(s).times(8) == right.times(8)) is case["cofactored"]

    def test_it_is_refused(self, case: dict[str, Any]) -> None:
        key, message, signature = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
        if case["a"] == "prime":
            assert not PublicKey(key).verify(message, signature)
        else:
            with pytest.raises(InvalidKeyError, match="not a sound Ed25519 public key"):
                PublicKey(key)


@pytest.mark.parametrize("torsion", [ORDER_2, ORDER_4, ORDER_8], ids=["2", "4", "8"])
@pytest.mark.parametrize("nonce", [0, 5], ids=["small order", "mixed order"])
def test_the_equation_has_no_cofactor(nonce: int, torsion: Point) -> None:
    """The signature satisfies the equation with the cofactor, and only that; OpenSSL answers the same."""
    signature = sign(MESSAGE, OWN.raw, SCALAR, nonce=nonce, torsion=torsion)
    s, r = int.from_bytes(signature[32:], "little"), lax_point(signature[:32])
    difference = BASE.times(s) + (r + lax_point(OWN.raw).times(challenge(signature[:32], OWN.raw, MESSAGE))).times(
        L * 8 - 1
    )
    assert difference != NEUTRAL
    assert difference.times(8) == NEUTRAL
    assert not PublicKey(OWN.raw).verify(MESSAGE, signature)
    assert not openssl_accepts(Signed(OWN.raw, MESSAGE, signature))


def test_the_same_signature_without_torsion_is_accepted() -> None:
    assert PublicKey(OWN.raw).verify(MESSAGE, sign(MESSAGE, OWN.raw, SCALAR, nonce=5))


def test_a_neutral_r_is_refused_although_both_equations_hold() -> None:
    signature = sign(MESSAGE, OWN.raw, SCALAR, nonce=0)
    assert openssl_accepts(Signed(OWN.raw, MESSAGE, signature))
    assert not PublicKey(OWN.raw).verify(MESSAGE, signature)


@pytest.mark.parametrize("r", [P + 1, 1 | 1 << 255], ids=["y + p", "a sign on x = 0"])
def test_an_r_that_is_not_canonical_is_refused(r: int) -> None:
    signature = sign(MESSAGE, OWN.raw, SCALAR, nonce=0, r=r.to_bytes(32, "little"))
    assert not PublicKey(OWN.raw).verify(MESSAGE, signature)
    assert not openssl_accepts(Signed(OWN.raw, MESSAGE, signature))


@pytest.mark.parametrize("times", range(1, 16))
def test_an_s_that_is_not_reduced_is_refused(times: int) -> None:
    signature = OWN.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    assert PublicKey(OWN.raw).verify(MESSAGE, signature)
    assert not PublicKey(OWN.raw).verify(MESSAGE, signature[:32] + (s + times * L).to_bytes(32, "little"))
    assert not openssl_accepts(Signed(OWN.raw, MESSAGE, signature[:32] + (s + times * L).to_bytes(32, "little")))


def test_all_eight_points_of_small_order_are_refused_as_keys_in_every_encoding() -> None:
    points = [ORDER_8.times(n) for n in range(8)]
    assert len(set(points)) == 8
    encodings = {found.encoded() for found in points}
    # A second encoding: y + p where it fits, and a sign where x is 0.
    encodings |= {bytes([*raw[:31], raw[31] ^ 0x80]) for raw in encodings}
    for y in (0, 1):
        encodings |= {(y + P | sign_ << 255).to_bytes(32, "little") for sign_ in (0, 1)}
    assert len(encodings) == 14
    for raw in encodings:
        with pytest.raises(InvalidKeyError):
            PublicKey(raw)
