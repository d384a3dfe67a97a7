"""The identity key: convert between `publickeyv1_…` and 32 bytes, and verify an Ed25519 signature.

A key is checked once, when it is read. Anyone could forge signatures for a key of small order, so it is refused. A
non-canonical key is refused because it would be a second name for the same key.
"""

from __future__ import annotations

import base58

from restate_identity._ed25519 import VerifyingKey, is_sound
from restate_identity.errors import InvalidKeyError

PREFIX = "publickeyv1_"
KEY_SIZE = 32
# 32 bytes are at most 44 characters of base58. Decoding takes quadratic time, so the length is checked first.
MAX_TEXT_LENGTH = len(PREFIX) + 44
# The beginning of every PEM, including private keys.
PEM_MARK = "-----BEGIN"


class PublicKey:
    """An Ed25519 public key that is fit to verify with.

    Args:
        raw: The 32 bytes of the key (RFC 8032, 5.1.2).

    Raises:
        InvalidKeyError: *raw* is not 32 bytes; or not the canonical encoding of a point on the curve; or the point has
            small order or lies outside the prime-order group, so that signatures can be made without a private key.
    """

    # Not a dataclass, because importing `dataclasses` takes as long as importing libsodium.
    __slots__ = ("_key", "_raw")

    def __init__(self, raw: bytes) -> None:
        if not isinstance(raw, bytes) or len(raw) != KEY_SIZE:
            raise InvalidKeyError(f"an Ed25519 public key has {KEY_SIZE} bytes; this is {_described(raw)}")
        self._raw = raw
        if not is_sound(raw):
            raise InvalidKeyError(
                f"{self} is not a sound Ed25519 public key: it was not copied right, or it is a weak key, for which "
                "anyone can forge signatures; copy it again from the log of the Restate server"
            )
        self._key = VerifyingKey(raw)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the key."""
        return self._raw

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read a key in Restate's form, ``publickeyv1_`` followed by the base58 of its 32 bytes.

        Raises:
            InvalidKeyError: *text* is anything else, has white space around it, or is not a sound key.

        Source: the server prints its own key in this form at start-up, as ``kid``.
        """
        if not isinstance(text, str):
            raise InvalidKeyError(f"an identity key is text that begins with {PREFIX}; this is {_described(text)}")
        if PEM_MARK in text:
            raise InvalidKeyError(
                "this is a PEM, not an identity key. If it is the private key, only the Restate server needs it: give "
                f"the service the {PREFIX}... that `restate-identity public-key FILE` prints"
            )
        if text != text.strip():
            raise InvalidKeyError("an identity key has no white space around it; this text has: strip it")
        if not text.startswith(PREFIX):
            # Do not repeat the text: it may be a private key.
            remedy = (
                "If it is the path of a file with keys, set RESTATE_IDENTITY_KEYS_FILE to it, or use KeyFile"
                if "/" in text or "\\" in text
                else "It is printed by the Restate server at start-up, and by the Restate Cloud console"
            )
            raise InvalidKeyError(
                f"an identity key begins with {PREFIX}; this text of {len(text)} characters does not. {remedy}"
            )
        if len(text) > MAX_TEXT_LENGTH:
            problem = "something was added to it"
            if text.count(PREFIX) > 1:
                problem = (
                    "it holds several keys: pass a list with one key in each item, or separate them by commas in "
                    "RESTATE_IDENTITY_KEYS, which the library reads itself"
                )
            raise InvalidKeyError(
                f"this text has {len(text)} characters, and an identity key at most {MAX_TEXT_LENGTH}: {problem}"
            )
        try:
            raw = base58.b58decode(text[len(PREFIX) :])
        except ValueError:
            raw = b""
        if not raw:
            # Do not repeat the text: anything may follow the prefix.
            raise InvalidKeyError(
                f"this text is not {PREFIX} followed by base58 (letters and digits without 0, O, I, l)"
            )
        if len(raw) != KEY_SIZE:
            raise InvalidKeyError(
                f"{text!a} holds {len(raw)} bytes, an Ed25519 public key has {KEY_SIZE}: was it cut while copying?"
            )
        return cls(raw)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* (64 bytes) is this key's Ed25519 signature of *message*.

        Source: RFC 8032, 5.1.7, as libsodium implements it: S must be reduced, R is compared byte for byte, and
        points of small order are refused. The accelerator, if it is installed, answers the same.
        """
        if type(message) is not bytes or type(signature) is not bytes:
            # Implementations differ in what else they take.
            message, signature = bytes(memoryview(message)), bytes(memoryview(signature))
        return self._key.verify(message, signature)  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[type[PublicKey], tuple[bytes]]:
        return PublicKey, (self._raw,)

    def __str__(self) -> str:
        return PREFIX + base58.b58encode(self._raw).decode()

    def __repr__(self) -> str:
        return f"PublicKey({self._raw!r})"

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)


def _described(value: object) -> str:
    size = f" of {len(value)}" if isinstance(value, (str, bytes)) else ""
    return f"a {type(value).__name__}{size}"
