"""Read and write RTv1, the form of an encrypted value that Restate's TypeScript and Go libraries share. No keys here.

::

    "RTv1" 0x00 | size of the encrypted data key: u16, big-endian | encrypted data key
    | 12 bytes IV | ciphertext | 16 bytes tag

The cipher is AES-256-GCM without associated data.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from restate_identity.encryption.errors import EncryptionError, EncryptionReason

PREFIX = b"RTv1\0"
IV_SIZE = 12
TAG_SIZE = 16
LARGEST_KEY = 65535
"""The largest encrypted data key: the format has two bytes for its size."""

_KEY_AT = len(PREFIX) + 2
# What nobody may take for plaintext: this format without its NUL, and formats to come.
_RESERVED = re.compile(rb"RTv1|RTv[0-9]\0")
# An older revision had no size. There follows at once what AWS KMS begins an encrypted key with, and its first two
# bytes would be the size 258.
_OLD_REVISIONS = (b"\x01\x02\x02\x00", b"\x01\x02\x03\x00")


class Frame(NamedTuple):
    """The parts of an encrypted value.

    Attributes:
        encrypted_key: The data key, as its provider encrypted it.
        iv: The 12 bytes that no other value of this data key has.
        sealed: The ciphertext with its tag, without a copy.
    """

    encrypted_key: bytes
    iv: bytes
    sealed: memoryview


def is_reserved(value: bytes) -> bool:
    """Return whether *value* begins as an encrypted value does, whole or not, so that it is never plaintext."""
    return _RESERVED.match(value[: len(PREFIX)]) is not None


def head(encrypted_key: bytes) -> bytes:
    """Return what every value of a data key begins with, up to the IV.

    Raises:
        ValueError: *encrypted_key* cannot be written so that every reader understands it.
    """
    if len(encrypted_key) not in range(1, LARGEST_KEY + 1):
        raise ValueError(f"an encrypted data key has 1 to {LARGEST_KEY} bytes, not {len(encrypted_key)}")
    made = PREFIX + len(encrypted_key).to_bytes(2, "big") + encrypted_key
    if made.startswith(_OLD_REVISIONS, len(PREFIX)):
        raise ValueError("with this encrypted data key, a value looks like one of the older revision")
    return made


def read_frame(value: bytes, *, max_key_size: int = LARGEST_KEY) -> Frame:
    """Return the parts of *value*. It costs the same whatever the value is: nothing is searched, and little is copied.

    Raises:
        EncryptionError: The value is not in this format, or its encrypted data key has more than *max_key_size* bytes.
    """
    if not value.startswith(PREFIX):
        raise EncryptionError(EncryptionReason.NOT_ENCRYPTED, _not_encrypted(value))
    if value.startswith(_OLD_REVISIONS, len(PREFIX)):
        raise EncryptionError(
            EncryptionReason.OLD_REVISION,
            "the encrypted data key has no size in front, as in an older revision of the format, which nobody reads",
        )
    size = int.from_bytes(value[len(PREFIX) : _KEY_AT], "big")
    iv_at = _KEY_AT + size
    if len(value) < iv_at + IV_SIZE + TAG_SIZE:
        at_least = iv_at + IV_SIZE + TAG_SIZE if len(value) >= _KEY_AT else _KEY_AT
        raise EncryptionError(
            EncryptionReason.TRUNCATED,
            f"the value has {len(value)} bytes, and its beginning says that it has at least {at_least}",
        )
    if size > max_key_size:
        raise EncryptionError(
            EncryptionReason.OVERSIZED_DATA_KEY,
            f"the encrypted data key has {size} bytes, and no more than {max_key_size} are accepted",
        )
    if not size:
        raise EncryptionError(EncryptionReason.UNKNOWN_DATA_KEY, "the encrypted data key is empty")
    iv_end = iv_at + IV_SIZE
    return Frame(bytes(value[_KEY_AT:iv_at]), bytes(value[iv_at:iv_end]), memoryview(value)[iv_end:])


def _not_encrypted(value: bytes) -> str:
    if is_reserved(value):
        return "the value has a prefix of this format, but not RTv1 and a NUL: it is cut, or of another version"
    return (
        "the value is plaintext, or encrypted in another way: whoever sends it must encrypt it. "
        "To accept plaintext for a time, pass accept_plaintext_until"
    )
