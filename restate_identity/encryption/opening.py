"""Decrypt one value whose data key is at hand, or with a provider alone."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity.encryption.asking import asked
from restate_identity.encryption.data_key import KeyProvider
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.frames import Frame, read_frame
from restate_identity.encryption.known_keys import checked


def opened(frame: Frame, cipher: AESGCM) -> bytes:
    """Return the value in *frame*.

    Raises:
        EncryptionError: It was changed.
    """
    try:
        return cipher.decrypt(frame.iv, frame.sealed, None)
    except InvalidTag:
        pass
    # Out here, so that it refers to nothing else.
    raise EncryptionError(
        EncryptionReason.CHANGED,
        "the value was changed or cut after it was encrypted, or its data key is another",
    )


async def decrypted(provider: KeyProvider, value: bytes, *, seconds: float = 10.0) -> bytes:
    """Return a single value decrypted; the provider makes no data key for that.

    Raises:
        EncryptionError: With the reason why not.
    """
    frame = read_frame(value)
    plaintext = checked(await asked(lambda: provider.decrypt_data_key(frame.encrypted_key), seconds))
    return opened(frame, AESGCM(plaintext))
