"""A data key, and where it comes from: the protocol of a key provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

SIZE = 32
"""The bytes of a data key: AES-256."""


@dataclass(frozen=True)
class DataKey:
    """A key for values, in the clear and encrypted by its provider.

    Attributes:
        plaintext: The 32 bytes of the key. They are no part of the repr.
        encrypted: The same key, encrypted. It stands in front of every value, so it is also the name of the key.
    """

    plaintext: bytes = field(repr=False)
    encrypted: bytes


class KeyProvider(Protocol):
    """Makes data keys and decrypts them, for instance by a key management service.

    The methods run in the event loop of a thread of their own, so they may take their time, but a client that belongs
    to another event loop does not work in them. Each call has a limit of time, after which it is cancelled.

    Raise `EncryptionError` with the reason ``unknown_data_key`` for a data key that can never be decrypted. Any other
    exception is an outage: the value is tried again, and only the name of the exception's type is logged.
    """

    async def generate_data_key(self) -> DataKey:
        """Return a new data key, used by nobody else."""
        ...

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        """Return the 32 bytes of a data key of this or another process."""
        ...
