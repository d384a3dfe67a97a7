"""Ed25519 by Node's crypto module: for Pyodide, where libsodium is missing.

WebCrypto has Ed25519, too, but only asynchronously, and a check of a token must not wait.
"""

from __future__ import annotations

from typing import Any

import js  # type: ignore[import-not-found]  # Pyodide provides both
from pyodide.ffi import to_js  # type: ignore[import-not-found]

from restate_identity._edwards25519 import is_sound

__all__ = ["NAME", "VerifyingKey", "is_sound"]

NAME = "Node's crypto"
SIGNATURE_SIZE = 64
# RFC 8410: what comes before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo.
DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
NEUTRAL = bytes([1, *bytes(31)])


def _crypto() -> Any:
    try:
        return js.process.getBuiltinModule("node:crypto")
    except AttributeError as error:
        raise ImportError(
            "in Pyodide without PyNaCl, the crypto module of Node checks signatures, and there is none here: "
            "it needs Node 20.16, 22.3 or later"
        ) from error


CRYPTO = _crypto()


class VerifyingKey:
    """A sound key.

    Args:
        raw: Its 32 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, raw: bytes) -> None:
        options = js.Object.fromEntries(to_js([["key", DER_PREFIX + raw], ["format", "der"], ["type", "spki"]]))
        self._key = CRYPTO.createPublicKey(options)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is this key's signature of *message*."""
        # OpenSSL accepts a neutral R, and libsodium does not.
        if len(signature) != SIGNATURE_SIZE or signature[:32] == NEUTRAL:
            return False
        return CRYPTO.verify(None, to_js(message), self._key, to_js(signature)) is True
