"""The codec: encrypts what the Restate SDK sends to Restate, and decrypts what comes back."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity.encryption.attempt import ending_the_attempt, is_in_a_handler
from restate_identity.encryption.data_key import KeyProvider
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.frames import IV_SIZE, LARGEST_KEY, PREFIX, TAG_SIZE, read_frame
from restate_identity.encryption.known_keys import KnownKeys
from restate_identity.encryption.log import EncryptionLog
from restate_identity.encryption.opening import opened
from restate_identity.encryption.plaintext import PlaintextWindow
from restate_identity.encryption.writing_key import WritingKeys

if TYPE_CHECKING:
    from restate import JournalValueCodec
else:
    try:
        from restate import JournalValueCodec
    except ImportError:  # the command needs no SDK
        JournalValueCodec = object

MOST_VALUES_PER_KEY = 50_000_000
# From here on, a copy of the ciphertext costs more than preparing a place for it.
_LARGE = 16 * 1024
_CAN_WRITE_INTO = hasattr(AESGCM, "encrypt_into")  # cryptography 47


class JournalEncryption(JournalValueCodec):
    """A ``JournalValueCodec`` that encrypts values in the format RTv1. Make one with `create`.

    It may be used in any event loop and thread, also in others than it was made in, and after a fork.

    Whatever goes wrong in a handler of the SDK ends the attempt, not the invocation: Restate tries again, as the
    service's retry policy says. Elsewhere, `EncryptionError` is raised.
    """

    def __init__(
        self,
        provider: KeyProvider,
        *,
        accept_plaintext_until: datetime | float | None,
        wait_limit: float,
        values_per_key: int,
        key_lifetime: float,
        cache_size: int,
        max_encrypted_key_size: int,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        _require("wait_limit", wait_limit, at_least=0.001)
        _require("key_lifetime", key_lifetime, at_least=0.001)
        _require("values_per_key", values_per_key, at_least=1, at_most=MOST_VALUES_PER_KEY)
        _require("cache_size", cache_size, at_least=1)
        _require("max_encrypted_key_size", max_encrypted_key_size, at_least=1, at_most=LARGEST_KEY)
        self._wait_limit = wait_limit
        self._max_encrypted_key_size = max_encrypted_key_size
        self._log = EncryptionLog(monotonic)
        self._plaintext = PlaintextWindow(accept_plaintext_until, clock=clock, log=self._log)
        self._known = KnownKeys(provider, size=cache_size, seconds=wait_limit, clock=monotonic)
        self._writing = WritingKeys(
            provider,
            self._known,
            values=values_per_key,
            lifetime=key_lifetime,
            max_encrypted_size=max_encrypted_key_size,
            seconds=wait_limit,
            log=self._log,
            clock=monotonic,
        )

    @classmethod
    async def create(
        cls,
        provider: KeyProvider,
        *,
        accept_plaintext_until: datetime | float | None = None,
        wait_limit: float = 10.0,
        values_per_key: int = MOST_VALUES_PER_KEY,
        key_lifetime: float = 86400.0,
        cache_size: int = 8192,
        max_encrypted_key_size: int = 1024,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> JournalEncryption:
        """Return a codec with a data key of its own.

        If the provider makes none, it is asked again with back-off, and the log says so. After *wait_limit* seconds the
        codec is returned all the same: it asks again when it is used, so a provider that is down never keeps a service
        from starting, or from working later.

        Args:
            provider: Makes and decrypts data keys.
            accept_plaintext_until: Let values that are not encrypted through until then, an aware datetime or Unix
                seconds, at most a year away. What begins with ``RTv1`` is never taken for plaintext.
            wait_limit: Seconds that an attempt waits for the provider, and the limit of each call to it.
            values_per_key: After how many values the data key is replaced; at most 50 million.
            key_lifetime: After how many seconds.
            cache_size: How many decrypted data keys to keep.
            max_encrypted_key_size: Values with a larger encrypted data key are refused, and the provider is not asked.
            clock: Returns the time in Unix seconds.
            monotonic: Returns seconds that never go backwards.

        Raises:
            ValueError, TypeError: An option is out of its range.
        """
        codec = cls(
            provider,
            accept_plaintext_until=accept_plaintext_until,
            wait_limit=wait_limit,
            values_per_key=values_per_key,
            key_lifetime=key_lifetime,
            cache_size=cache_size,
            max_encrypted_key_size=max_encrypted_key_size,
            clock=clock,
            monotonic=monotonic,
        )
        try:
            await codec._writing.ready(wait_limit)
        except EncryptionError:
            pass  # the log has it
        except asyncio.CancelledError:
            if not _is_task_of_the_sdk():
                raise
        return codec

    def encode(self, buf: bytes) -> bytes:
        """Return *buf* encrypted. Never waits.

        Raises:
            EncryptionError: There is no data key; the reason is ``no_data_key``.
        """
        try:
            key = self._writing.take()
            iv = os.urandom(IV_SIZE)
            if len(buf) < _LARGE or not _CAN_WRITE_INTO:
                return key.head + iv + key.cipher.encrypt(iv, buf, None)
            return _encrypted_in_place(key.cipher, key.head + iv, iv, buf)
        except Exception as error:  # noqa: BLE001 (the SDK would end the invocation)
            failure = self._failed("encrypt", error)
        raise failure

    async def decode(self, buf: bytes) -> bytes:
        """Return *buf* decrypted. Waits for the provider, within limits, only if the data key was not used before.

        Raises:
            EncryptionError: With the reason why not.
        """
        try:
            return await self._decoded(buf)
        except Exception as error:  # noqa: BLE001 (the SDK would end the invocation)
            failure = self._failed("decrypt", error)
        # Out here, so that it refers to nothing that has a value or a key in its frames.
        raise failure

    async def _decoded(self, value: bytes) -> bytes:
        if not self._writing.is_ready and is_in_a_handler():
            # What the handler does with the value must be encrypted.
            await self._writing.ready(self._wait_limit)
        if not value.startswith(PREFIX) and self._plaintext.accepts(value):
            return value
        frame = read_frame(value, max_key_size=self._max_encrypted_key_size)
        cipher = self._known.get(frame.encrypted_key)
        if cipher is None:
            cipher = await self._known.find(frame.encrypted_key)
        return opened(frame, cipher)

    def _failed(self, what: str, error: Exception) -> BaseException:
        if isinstance(error, EncryptionError):
            failure = EncryptionError(error.reason, error.hint)
        else:
            # Its text may quote the value.
            failure = EncryptionError(EncryptionReason.INTERNAL_ERROR, type(error).__name__)
        self._log.failed(what, failure)
        return ending_the_attempt(failure)


def _encrypted_in_place(cipher: AESGCM, head: bytes, iv: bytes, value: bytes) -> bytes:
    """Return *head* and the encrypted *value*, which is written where it stays: a large copy costs as much as AES."""
    whole = BytesIO(bytes(len(head) + len(value) + TAG_SIZE))
    with whole.getbuffer() as place:
        place[: len(head)] = head
        cipher.encrypt_into(iv, value, None, place[len(head) :])
    return whole.getvalue()


def _is_task_of_the_sdk() -> bool:
    """Return whether this task runs nothing but `create`, beside other tasks.

    So the SDK calls an async provider, whose task it keeps for ever, even cancelled, and an attempt that is aborted
    cancels it. Ended by that, no later attempt would have a codec.
    """
    task = asyncio.current_task()
    own = JournalEncryption.create.__func__.__code__  # type: ignore[attr-defined]  # a class method has it
    return task is not None and getattr(task.get_coro(), "cr_code", None) is own and len(asyncio.all_tasks()) > 1


def _require(name: str, value: float, *, at_least: float, at_most: float = math.inf) -> None:
    kind: type | tuple[type, ...] = int if isinstance(at_least, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not at_least <= value <= at_most or value == math.inf:
        upper = f" and at most {at_most}" if at_most != math.inf else ""
        raise ValueError(f"{name} is a number, at least {at_least}{upper}, not {value!r}")
