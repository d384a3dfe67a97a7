"""Key providers for tests: they do as they are told, and note who asked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from restate_identity.encryption import DataKey, EncryptionError, EncryptionReason, JournalEncryption
from restate_identity.encryption.frames import head
from restate_identity.encryption.known_keys import KnownKeys

START = b"as a key service begins all its keys"


class Keys:
    """Makes and decrypts keys. All instances know the same keys, as two replicas do with one key service.

    Attributes:
        made: How many keys were asked for.
        asked: The encrypted keys that were to be decrypted, in order.
        ended: Those of them for which the call ended, however it did.
        failure: Raised by every call, if it is set.
        hold: Awaited by every call that decrypts, if it is set.
    """

    _all: ClassVar[dict[bytes, bytes]] = {}

    def __init__(self) -> None:
        self.made = 0
        self.asked: list[bytes] = []
        self.ended: list[bytes] = []
        self.failure: BaseException | None = None
        self.hold: Callable[[bytes], Awaitable[None]] | None = None

    async def generate_data_key(self) -> DataKey:
        self.made += 1
        if self.failure is not None:
            raise self.failure
        plaintext, encrypted = os.urandom(32), START + os.urandom(16)
        self._all[encrypted] = plaintext
        return DataKey(plaintext, encrypted)

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        self.asked.append(encrypted)
        try:
            if self.hold is not None:
                await self.hold(encrypted)
            if self.failure is not None:
                raise self.failure
            if encrypted in self._all:
                return self._all[encrypted]
            raise EncryptionError(EncryptionReason.UNKNOWN_DATA_KEY, "it is nobody's")
        finally:
            self.ended.append(encrypted)


def not_ready(provider: Keys, monotonic: Callable[[], float] = time.monotonic) -> JournalEncryption:
    """Return what `JournalEncryption.create` returns when the provider was down: a codec without a data key."""
    return JournalEncryption(
        provider,
        accept_plaintext_until=None,
        wait_limit=60,
        values_per_key=1000,
        key_lifetime=1000,
        cache_size=1000,
        max_encrypted_key_size=1000,
        clock=time.time,
        monotonic=monotonic,
    )


def made_up(number: int, start: bytes = b"") -> bytes:
    """Return a value with a data key that nobody has."""
    return head(start + b"made up, number %d" % number) + bytes(12 + 16 + 3)


def changed(value: bytes) -> bytes:
    """Return *value* with another last byte."""
    return value[:-1] + bytes([value[-1] ^ 1])


async def from_another_process(value: bytes) -> bytes:
    """Return *value*, encrypted by another process with the same key service."""
    return (await JournalEncryption.create(Keys())).encode(value)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds, which another thread brings about."""
    while not condition():  # noqa: ASYNC110 (it happens in another thread)
        await asyncio.sleep(0.001)


async def forever(encrypted: bytes) -> None:
    """Answer to nobody."""
    await asyncio.Event().wait()


def known_keys_of(codec: JournalEncryption) -> KnownKeys:
    """Return the cache of *codec*."""
    return codec._known
