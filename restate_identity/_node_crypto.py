"""Ed25519 by Node's crypto module: for Pyodide, where libsodium is missing.

WebCrypto has Ed25519, too, but only asynchronously, and a check of a token must not wait.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from restate_identity import _edwards25519

NAME = "Node's crypto"
SIGNATURE_SIZE = 64
# RFC 8410: what comes before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo.
DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
NEUTRAL = bytes([1, *bytes(31)])

is_sound = _edwards25519.is_sound


@lru_cache(1)
def _javascript() -> tuple[Any, Any, Any]:
    """Return Node's crypto module, the class of objects, and what converts bytes. Only Pyodide has them."""
    import js  # type: ignore[import-not-found]
    from pyodide.ffi import to_js  # type: ignore[import-not-found]

    return js.process.getBuiltinModule("node:crypto"), js.Object, to_js


class VerifyingKey:
    """A sound key.

    Args:
        raw: Its 32 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, raw: bytes) -> None:
        crypto, objects, to_js = _javascript()
        options = [["key", DER_PREFIX + raw], ["format", "der"], ["type", "spki"]]
        self._key = crypto.createPublicKey(objects.fromEntries(to_js(options)))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is this key's signature of *message*."""
        # OpenSSL accepts a neutral R, and libsodium does not.
        if len(signature) != SIGNATURE_SIZE or signature[:32] == NEUTRAL:
            return False
        crypto, _, to_js = _javascript()
        return crypto.verify(None, to_js(message), self._key, to_js(signature)) is True
