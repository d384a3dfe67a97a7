"""Compare the accelerator with libsodium, signature by signature: ``python -m tests.tools.conformance.signatures``.

Genuine signatures, and those that are changed, that satisfy only the equation with the cofactor, that have another
encoding of R, or an S that is not reduced. Changed keys, too: both must find the same keys sound.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from restate_identity import ED25519_IMPLEMENTATION, _libsodium
from restate_identity._ed25519 import VerifyingKey
from tests.vectors.ed25519 import BASE, ORDER_8, L, P, challenge, secret_scalar

SEED = 20_261_125
# More than the accelerator keeps tables for, so that it also checks without.
KEYS = 40
TORSION = [ORDER_8.times(number) for number in range(8)]
SMALL_R = sorted(
    {point.encoded() for point in TORSION}
    | {bytes([*point.encoded()[:31], point.encoded()[31] ^ 0x80]) for point in TORSION}
    | {(y + P | sign << 255).to_bytes(32, "little") for y in (0, 1) for sign in (0, 1)}
)
ODD_S = (0, 1, L - 1, L, L + 1, 2 * L, 1 << 252, 1 << 253, (1 << 255) - 1, 1 << 255, (1 << 256) - 1)


class Signer:
    def __init__(self, seed: bytes) -> None:
        self.raw, self._secret = crypto_sign_seed_keypair(seed)
        self._scalar = secret_scalar(seed)
        self.by_libsodium = _libsodium.VerifyingKey(self.raw)
        self.by_accelerator = VerifyingKey(self.raw)

    def sign(self, message: bytes) -> bytes:
        return crypto_sign(message, self._secret)[:64]

    def sign_with(self, r: bytes, nonce: int, message: bytes) -> bytes:
        """Sign with R written as *r*, which need not belong to the *nonce*."""
        return r + ((nonce + challenge(r, self.raw, message) * self._scalar) % L).to_bytes(32, "little")


class Tally(NamedTuple):
    judged: Counter[str]
    accepted: Counter[str]
    differences: list[str]

    def add(self, kind: str, case: tuple[bytes, ...], expected: bool, found: bool) -> None:
        self.judged[kind] += 1
        self.accepted[kind] += expected
        if expected is not found:
            self.differences.append(f"{kind}: {' '.join(part.hex() for part in case)}")


class Comparison:
    """Draws from a *seed*: the same seed gives the same signatures."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = random.Random(seed)
        self._signers = [Signer(self._random.randbytes(32)) for _ in range(KEYS)]
        nonces = [self._random.randrange(1, L) for _ in range(2)]
        self._mixed_r = [((BASE.times(nonce) + torsion).encoded(), nonce) for nonce in nonces for torsion in TORSION]
        self._kinds: dict[str, Callable[[Signer, bytes], tuple[bytes, bytes]]] = {
            "genuine": lambda signer, message: (message, signer.sign(message)),
            "a bit of the signature": lambda signer, message: (message, self._flipped(signer.sign(message))),
            "bytes of the signature": lambda signer, message: (message, self._overwritten(signer.sign(message))),
            "a bit of the message": lambda signer, message: (self._flipped(message), signer.sign(message)),
            "another key": lambda _, message: (message, self._random.choice(self._signers).sign(message)),
            "the length": lambda signer, message: (message, self._resized(signer.sign(message))),
            "S + n·L": lambda signer, message: (message, self._raised(signer.sign(message))),
            "an odd S": lambda signer, message: (
                message,
                signer.sign(message)[:32] + self._random.choice(ODD_S).to_bytes(32, "little"),
            ),
            "R of small order": lambda signer, message: (
                message,
                signer.sign_with(self._random.choice(SMALL_R), 0, message),
            ),
            "R of mixed order": lambda signer, message: (
                message,
                signer.sign_with(*self._random.choice(self._mixed_r), message),
            ),
        }

    def run(self, count: int) -> Tally:
        """Judge *count* signatures, and a tenth as many changed keys."""
        tally = Tally(Counter(), Counter(), [])
        names = list(self._kinds)
        for number in range(count):
            kind, signer = self._random.choice(names), self._random.choice(self._signers)
            message, signature = self._kinds[kind](signer, self._random.randbytes(self._random.randrange(1, 400)))
            tally.add(
                kind,
                (signer.raw, message, signature),
                signer.by_libsodium.verify(message, signature),
                signer.by_accelerator.verify(message, signature),
            )
            if number % 10 == 0:
                raw = self._changed_key(signer.raw)
                tally.add("a changed key", (raw,), _libsodium.is_sound(raw), is_sound(raw))
        return tally

    def _changed_key(self, raw: bytes) -> bytes:
        draw = self._random.random()
        return (
            self._random.choice(SMALL_R) if draw < 0.1 else self._flipped(raw) if draw < 0.8 else self._overwritten(raw)
        )

    def _flipped(self, raw: bytes) -> bytes:
        changed = bytearray(raw)
        changed[self._random.randrange(len(raw))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _overwritten(self, raw: bytes) -> bytes:
        start = self._random.randrange(len(raw))
        size = self._random.randint(1, len(raw) - start)
        filling = self._random.choice((self._random.randbytes(size), bytes(size), b"\xff" * size))
        return raw[:start] + filling + raw[start + size :]

    def _resized(self, raw: bytes) -> bytes:
        return raw[: self._random.randrange(64)] if self._random.random() < 0.5 else raw + self._random.randbytes(1)

    def _raised(self, signature: bytes) -> bytes:
        s = int.from_bytes(signature[32:], "little")
        most = ((1 << 256) - 1 - s) // L
        return signature[:32] + (s + self._random.randint(1, most) * L).to_bytes(32, "little")


def is_sound(raw: bytes) -> bool:
    """Whether the accelerator accepts this key."""
    try:
        VerifyingKey(raw)
    except ValueError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the accelerator with libsodium.")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many signatures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="what they are drawn from (default: %(default)s)")
    arguments = parser.parse_args()
    if VerifyingKey is _libsodium.VerifyingKey:
        print("left out, the comparison with the accelerator: it is not built (make accelerator, PYTHONPATH)")
        return 1
    started = time.monotonic()
    tally = Comparison(arguments.seed).run(arguments.count)
    print(f"{ED25519_IMPLEMENTATION} beside libsodium\n")
    for kind in sorted(tally.judged):
        print(f"{tally.judged[kind]:9,} judged {tally.accepted[kind]:9,} accepted   {kind}")
    print(f"\n{len(tally.differences)} differences, after {time.monotonic() - started:.0f} s")
    for difference in tally.differences[:20]:
        print(f"  {difference}")
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
