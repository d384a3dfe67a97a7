"""Ed25519 by libsodium: the verdicts that every other implementation must give, too."""

from __future__ import annotations

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

NAME = "libsodium"
SIGNATURE_SIZE = 64


def is_sound(raw: bytes) -> bool:
    """Return whether these 32 bytes are the canonical encoding of a point of the prime-order group, not the neutral."""
    return crypto_core_ed25519_is_valid_point(raw)


class VerifyingKey:
    """A sound key.

    Args:
        raw: Its 32 bytes.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is this key's signature of *message*."""
        # crypto_sign_open takes signature and message as one string: a signature of another length would shift the
        # boundary between them.
        if len(signature) != SIGNATURE_SIZE:
            return False
        try:
            crypto_sign_open(signature + message, self._raw)
        except BadSignatureError:
            return False
        return True
