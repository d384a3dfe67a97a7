"""The decrypted data keys, and the provider's calls for others: one for each key, few at once, each with a limit.

Whoever can write into the journal can write values with made-up data keys, as many as they like. So only keys that the
provider decrypted take a place in the cache; what it could never decrypt is remembered for a short time; and keys that
begin like those that were decrypted before have calls of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity._fork import Lock, tell_of_forks
from restate_identity.encryption.asking import asked, unavailable
from restate_identity.encryption.background import in_background
from restate_identity.encryption.data_key import SIZE, KeyProvider
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.waiters import Waiters

CALLS = 16
"""How many calls of a kind run at once."""
WAITING = 1024
"""How many data keys of a kind may wait for an answer. Values with further ones are refused, and tried again."""
UNKNOWN_FOR = 10.0
"""Seconds for which a data key stays refused that the provider could not decrypt."""
UNKNOWN_SIZE = 8192
# AWS KMS begins all that it encrypts with one key with the same 37 bytes.
_START = 32
_STARTS = 64


class _Lane:
    """The calls of one kind."""

    def __init__(self) -> None:
        self.calls = asyncio.Semaphore(CALLS)
        self.open = 0


class _Flight:
    """A call for one data key, and all who wait for it."""

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        self.waiters = Waiters()
        self.call: Future[None] | None = None
        self.outcome: AESGCM | EncryptionError | None = None


class KnownKeys:
    """Returns the cipher of a data key. Thread-safe, and good for any number of event loops.

    Args:
        provider: Decrypts data keys.
        size: How many decrypted data keys to keep.
        seconds: The limit of each call.
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, provider: KeyProvider, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._ciphers: OrderedDict[bytes, AESGCM] = OrderedDict()
        self._unknown: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._starts: OrderedDict[bytes, None] = OrderedDict()
        self.after_fork()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Forget the calls in flight."""
        self._flights: dict[bytes, _Flight] = {}
        self._familiar, self._strange = _Lane(), _Lane()

    def get(self, encrypted: bytes) -> AESGCM | None:
        """Return the cipher of a data key that was used before."""
        with self._lock:
            cipher = self._ciphers.get(encrypted)
            if cipher is not None:
                self._ciphers.move_to_end(encrypted)
            return cipher

    def add(self, encrypted: bytes, cipher: AESGCM) -> None:
        """Remember the cipher of a data key."""
        with self._lock:
            self._add(encrypted, cipher)

    async def find(self, encrypted: bytes) -> AESGCM:
        """Return the cipher of a data key, and ask the provider if it is not known.

        Raises:
            EncryptionError: The provider cannot decrypt it, or did not answer in time.
        """
        flight, future = self._joined(encrypted)
        if isinstance(flight, AESGCM):
            return flight
        try:
            await flight.waiters.wait(future, self._seconds)
        finally:
            self._left(encrypted, flight, future)
        if flight.outcome is None:
            raise unavailable(f"the key provider did not answer within {self._seconds:g} s")
        if isinstance(flight.outcome, EncryptionError):
            # Each who waits gets an error of its own: a traceback grows with every raise.
            raise EncryptionError(flight.outcome.reason, flight.outcome.hint)
        return flight.outcome

    def _joined(self, encrypted: bytes) -> tuple[_Flight | AESGCM, asyncio.Future[None]]:
        with self._lock:
            cipher = self._ciphers.get(encrypted)
            if cipher is not None:
                return cipher, asyncio.get_running_loop().create_future()
            self._refuse_unknown(encrypted)
            flight = self._flights.get(encrypted)
            if flight is not None:
                return flight, flight.waiters.enter()
            lane = self._familiar if encrypted[:_START] in self._starts else self._strange
            if lane.open >= WAITING:
                raise EncryptionError(
                    EncryptionReason.PROVIDER_BUSY,
                    f"{WAITING} other data keys wait for the key provider: it is slow, or somebody floods it",
                )
            flight = _Flight(lane)
            future = flight.waiters.enter()
            flight.call = in_background(lambda: self._called(encrypted, flight))
            self._flights[encrypted] = flight
            lane.open += 1
            return flight, future

    def _left(self, encrypted: bytes, flight: _Flight, future: asyncio.Future[None]) -> None:
        with self._lock:
            flight.waiters.leave(future)
            is_last = flight.outcome is None and not len(flight.waiters)
            if is_last:
                self._close(encrypted, flight)
        if is_last and flight.call is not None:
            flight.call.cancel()

    async def _called(self, encrypted: bytes, flight: _Flight) -> None:
        outcome: AESGCM | EncryptionError = unavailable("the key provider gave up the call")
        try:
            async with flight.lane.calls:
                outcome = AESGCM(
                    checked(await asked(lambda: self._provider.decrypt_data_key(encrypted), self._seconds))
                )
        except EncryptionError as error:
            outcome = error.with_traceback(None)
        finally:
            with self._lock:
                self._close(encrypted, flight)
                flight.outcome = outcome
                if isinstance(outcome, AESGCM):
                    self._add(encrypted, outcome)
                elif outcome.reason is EncryptionReason.UNKNOWN_DATA_KEY:
                    self._unknown[hashlib.sha256(encrypted).digest()] = self._clock() + UNKNOWN_FOR, outcome.hint
                    if len(self._unknown) > UNKNOWN_SIZE:
                        self._unknown.popitem(last=False)
            flight.waiters.wake()

    def _close(self, encrypted: bytes, flight: _Flight) -> None:
        if self._flights.get(encrypted) is flight:
            del self._flights[encrypted]
            flight.lane.open -= 1

    def _add(self, encrypted: bytes, cipher: AESGCM) -> None:
        self._ciphers[encrypted] = cipher
        self._ciphers.move_to_end(encrypted)
        if len(self._ciphers) > self._size:
            self._ciphers.popitem(last=False)
        self._starts[encrypted[:_START]] = None
        self._starts.move_to_end(encrypted[:_START])
        if len(self._starts) > _STARTS:
            self._starts.popitem(last=False)

    def _refuse_unknown(self, encrypted: bytes) -> None:
        if not self._unknown:
            return
        digest = hashlib.sha256(encrypted).digest()
        found = self._unknown.get(digest)
        if found is None:
            return
        until, hint = found
        if self._clock() < until:
            raise EncryptionError(EncryptionReason.UNKNOWN_DATA_KEY, hint)
        del self._unknown[digest]


def checked(plaintext: object) -> bytes:
    """Return what a provider says is a data key, or raise EncryptionError."""
    if not isinstance(plaintext, (bytes, bytearray)) or len(plaintext) != SIZE:
        raise unavailable(f"the key provider returned no data key of {SIZE} bytes")
    return bytes(plaintext)
