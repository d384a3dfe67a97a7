"""The data key that encrypts new values, and its replacement in the background.

A data key is replaced after a number of values and a time. Its successor is asked for before that, and takes over when
it is there. While the provider fails, the present key goes on, until it has encrypted `MOST_VALUES`: then the chance
that two of its random IVs are the same would no longer be negligible (NIST SP 800-38D, 8.3: at most 2**32 in all), and
nothing is encrypted until there is a new key.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity._fork import Lock, tell_of_forks
from restate_identity._waiting import limited
from restate_identity.encryption import frames
from restate_identity.encryption.asking import asked, unavailable
from restate_identity.encryption.background import in_background
from restate_identity.encryption.data_key import DataKey, KeyProvider
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.known_keys import KnownKeys, checked
from restate_identity.encryption.log import EncryptionLog
from restate_identity.encryption.waiters import Waiters

MOST_VALUES = 1 << 31
"""What one data key encrypts at most, while there is no other."""
MOST_VALUES_OF_A_FORK = 1 << 20
"""What a forked process encrypts at most with the data key of its parent: 2,048 of them stay within 2**31."""
BACKOFF_FIRST, BACKOFF_LIMIT = 0.1, 5.0
_BEFOREHAND = 0.9


class WritingKey:
    """A data key in use.

    Attributes:
        cipher: Encrypts with it.
        encrypted: Its name.
        head: What every value begins with.
        renew_after: After how many values its successor is asked for.
        renew_at: When.
        limit: How many values it encrypts at most.
        number: Returns the number of the next value, from 0.
    """

    def __init__(
        self, cipher: AESGCM, encrypted: bytes, head: bytes, *, renew_after: float, renew_at: float, limit: int
    ) -> None:
        self.cipher: AESGCM = cipher
        self.encrypted: bytes = encrypted
        self.head: bytes = head
        self.renew_after: float = renew_after
        self.renew_at: float = renew_at
        self.limit: int = limit
        # One step in C, so that threads never share a number.
        self.number: Callable[[], int] = itertools.count().__next__


class WritingKeys:
    """Hands out the present data key, and replaces it. Thread-safe.

    Args:
        provider: Makes data keys.
        known: Where each new key is added, since its values are read again.
        values: After how many values a key is replaced.
        lifetime: After how many seconds.
        max_encrypted_size: The largest encrypted data key that is read again.
        seconds: The limit of each call.
        log: Gets a line for each failure.
        clock: Returns seconds that never go backwards.
    """

    def __init__(
        self,
        provider: KeyProvider,
        known: KnownKeys,
        *,
        values: int,
        lifetime: float,
        max_encrypted_size: int,
        seconds: float,
        log: EncryptionLog,
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._known = known
        self._values = values
        self._lifetime = lifetime
        self._max_encrypted_size = max_encrypted_size
        self._seconds = seconds
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._present: WritingKey | None = None
        self._waiters = Waiters()
        self._is_renewing = False
        self._pause = BACKOFF_FIRST
        self._retry_at = clock()
        self._problem = unavailable("the key provider has not answered yet")
        tell_of_forks(self)

    @property
    def is_ready(self) -> bool:
        """Whether there is a data key."""
        return self._present is not None

    def after_fork(self) -> None:
        """Use the parent's key only until there is one of this process."""
        self._is_renewing = False
        self._retry_at = self._clock()
        # Those who wait here wait in loops of the parent.
        self._waiters = Waiters()
        key = self._present
        if key is not None:
            self._present = WritingKey(
                key.cipher,
                key.encrypted,
                key.head,
                renew_after=key.renew_after,
                renew_at=self._retry_at,
                limit=MOST_VALUES_OF_A_FORK,
            )

    def take(self) -> WritingKey:
        """Return the data key for one value, and never wait.

        Raises:
            EncryptionError: There is none yet, or it has encrypted as many values as it may.
        """
        key = self._present
        if key is None:
            self._begin()
            raise EncryptionError(EncryptionReason.NO_DATA_KEY, f"there is no data key yet: {self._problem.hint}")
        number = key.number()
        if number >= key.renew_after or self._clock() >= key.renew_at:
            self._begin()
            if number >= key.limit:
                raise EncryptionError(
                    EncryptionReason.NO_DATA_KEY,
                    f"the data key has encrypted {key.limit} values, and there is no other: {self._problem.hint}",
                )
        return key

    async def ready(self, seconds: float) -> None:
        """Wait until there is a data key.

        Raises:
            EncryptionError: There was none within *seconds*.
        """
        try:
            await limited(self._until_ready(), seconds)
        except asyncio.TimeoutError:
            pass
        else:
            return
        raise EncryptionError(self._problem.reason, self._problem.hint)

    async def _until_ready(self) -> None:
        while not self.is_ready:
            future = self._waiters.enter()
            try:
                self._begin()
                if not self.is_ready:
                    await self._waiters.wait(future, None if self._is_renewing else self._retry_at - self._clock())
            finally:
                self._waiters.leave(future)

    def _begin(self) -> None:
        """Ask for a new data key in the background, unless that is being done, or failed just now."""
        with self._lock:
            if self._is_renewing or self._clock() < self._retry_at:
                return
            self._is_renewing = True
        try:
            in_background(self._renew)
        except Exception as error:  # noqa: BLE001 (the present key can still be used)
            self._is_renewing = False
            self._failed(_translated(error))

    async def _renew(self) -> None:
        try:
            key = await self._made()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (only a provider can have cancelled it)
            self._failed(_translated(error))
        else:
            self._known.add(key.encrypted, key.cipher)
            with self._lock:
                has_failed = self._pause > BACKOFF_FIRST
                self._present = key
                self._pause = BACKOFF_FIRST
            if has_failed:
                self._log.renewed_again()
        finally:
            self._is_renewing = False
            self._waiters.wake()

    def _failed(self, error: EncryptionError) -> None:
        pause = self._pause * (0.5 + random.random())  # noqa: S311
        with self._lock:
            self._problem = error.with_traceback(None)
            self._pause = min(2 * self._pause, BACKOFF_LIMIT)
            self._retry_at = self._clock() + pause
        self._log.not_renewed(error, pause, has_key=self.is_ready)

    async def _made(self) -> WritingKey:
        made = await asked(self._provider.generate_data_key, self._seconds)
        if not isinstance(made, DataKey):
            raise unavailable("the key provider returned no DataKey")
        if not isinstance(made.encrypted, (bytes, bytearray)):
            raise unavailable("the key provider returned an encrypted data key that is no bytes")
        encrypted = bytes(made.encrypted)
        cipher = AESGCM(checked(made.plaintext))
        if self._present is not None and self._present.encrypted == encrypted:
            raise unavailable("the key provider returned the same data key again")
        if len(encrypted) > self._max_encrypted_size:
            raise EncryptionError(
                EncryptionReason.OVERSIZED_DATA_KEY,
                f"the provider's encrypted data key has {len(encrypted)} bytes, and no more than "
                f"{self._max_encrypted_size} would be read: raise max_encrypted_key_size in every service",
            )
        try:
            head = frames.head(encrypted)
        except ValueError as error:
            hint = str(error)
        else:
            return WritingKey(
                cipher,
                encrypted,
                head,
                renew_after=self._values * _BEFOREHAND,
                renew_at=self._clock() + self._lifetime * _BEFOREHAND,
                limit=MOST_VALUES,
            )
        raise unavailable(hint)


def _translated(error: BaseException) -> EncryptionError:
    return error if isinstance(error, EncryptionError) else unavailable(type(error).__name__)
