"""A key provider of one's own: data keys are encrypted with a Fernet key, as any service for keys would do it."""

import os

from cryptography.fernet import Fernet, InvalidToken

from restate_identity.encryption import DataKey, EncryptionError, EncryptionReason


class FernetKeys:
    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    async def generate_data_key(self) -> DataKey:
        plaintext = os.urandom(32)
        return DataKey(plaintext, self._fernet.encrypt(plaintext))

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        try:
            return self._fernet.decrypt(encrypted)
        except InvalidToken:
            hint = "it was encrypted with another key, or changed"
        # Only for what will never be decrypted. Any other exception is an outage, after which Restate tries again.
        raise EncryptionError(EncryptionReason.UNKNOWN_DATA_KEY, hint)
