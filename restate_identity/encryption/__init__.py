"""Encrypt what a service stores in Restate, before it leaves the process. Needs the extra ``encryption``.

`JournalEncryption` is a ``JournalValueCodec`` of the Restate SDK in the format RTv1, which Restate's TypeScript and Go
libraries read and write too. Its keys come from a `KeyProvider`: `LocalKeys`, `AwsKms`, or one of your own.
"""

from __future__ import annotations

try:
    import cryptography as _cryptography  # noqa: F401 (to say which extra is missing)
except ImportError as _error:
    raise ImportError(
        "encryption needs cryptography: pip install 'restate-identity[encryption]'", name=_error.name
    ) from _error

from restate_identity.encryption.aws_kms import AwsKms
from restate_identity.encryption.data_key import DataKey, KeyProvider
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.journal import JournalEncryption
from restate_identity.encryption.local_keys import LocalKeys

__all__ = [
    "AwsKms",
    "DataKey",
    "EncryptionError",
    "EncryptionReason",
    "JournalEncryption",
    "KeyProvider",
    "LocalKeys",
]
