"""Encrypt data keys with keys of a local file, which may change while the service runs.

An encrypted data key names the local key that it needs::

    "RIL1" | size of the id: u8 | id | 12 bytes IV | 32 bytes ciphertext | 16 bytes tag

The cipher is AES-256-GCM; the id and the purpose are authenticated with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restate_identity._fork import Lock
from restate_identity._quoting import quoted
from restate_identity._regular_file import check_refresh, shown_path
from restate_identity.encryption.data_key import SIZE, DataKey
from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.frames import IV_SIZE, TAG_SIZE
from restate_identity.encryption.local_key_file import is_key_id, read_local_keys
from restate_identity.encryption.log import logger

MAGIC = b"RIL1"
PURPOSE = b"restate-identity local key v1\0"
_SEALED_SIZE = IV_SIZE + SIZE + TAG_SIZE


class LocalKeys:
    """A `KeyProvider` with the keys of a file: one a line, its id and 32 bytes in base64, with comments after ``#``.

    The first key encrypts new data keys, and every key decrypts. To rotate, add a new key at the end, and when all
    services have it, move it to the top. Remove an old key when nothing that is stored needs it any more.

    The file is checked at most every *refresh_every* seconds, when a data key is made or decrypted. If it cannot be
    used then, the keys read before stay in force, and the log gets one error, and one line when it can be used again.

    Args:
        path: The file, or a link to it. Only its owner may write it.
        refresh_every: Seconds between two checks of the file; more than 0.
        clock: Returns seconds that never go backwards.

    Raises:
        EncryptionError: The file cannot be used; the reason is ``unusable_keys``. The message says what is wrong.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        refresh_every: float = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_refresh(refresh_every)
        # Absolute, because the process may change its working directory.
        self.path: Path = Path(path).absolute()
        self._refresh_every = refresh_every
        self._clock = clock
        self._due = clock() + refresh_every
        self._lock = Lock()
        self._problem = ""
        self._warned = False
        self._keys = self._read()

    def __repr__(self) -> str:
        return f"<LocalKeys {shown_path(self.path)!r}>"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys in force. The first encrypts."""
        return tuple(self._keys)

    async def generate_data_key(self) -> DataKey:
        """Return a new data key, encrypted with the first key of the file."""
        self._refresh()
        key_id, key = next(iter(self._keys.items()))
        plaintext, iv = os.urandom(SIZE), os.urandom(IV_SIZE)
        name = key_id.encode()
        sealed = AESGCM(key).encrypt(iv, plaintext, PURPOSE + name)
        return DataKey(plaintext, MAGIC + bytes([len(name)]) + name + iv + sealed)

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        """Return a data key that one of the keys encrypted."""
        self._refresh()
        key_id, iv, sealed = _parts(encrypted)
        key = self._keys.get(key_id)
        if key is None:
            raise _unknown(
                f"the data key needs the local key {quoted(key_id)}, which is not in {shown_path(self.path)}: "
                "if it was removed, put it back"
            )
        try:
            return AESGCM(key).decrypt(iv, sealed, PURPOSE + key_id.encode())
        except InvalidTag:
            hint = f"the data key was not encrypted with the local key {quoted(key_id)}, or was changed"
        raise _unknown(hint)

    def _refresh(self) -> None:
        with self._lock:
            now = self._clock()
            if now < self._due:
                return
            self._due = now + self._refresh_every
            try:
                keys = self._read()
            except EncryptionError as error:
                if self._problem != error.hint:
                    self._problem = error.hint
                    logger.error("%s; the keys read before stay in force: %s", error.hint, ", ".join(self._keys))
                return
            if list(keys.items()) == list(self._keys.items()) and not self._problem:
                return
            self._problem = ""
            self._keys = keys
            logger.info("local keys from %s: %s; %s encrypts", shown_path(self.path), ", ".join(keys), next(iter(keys)))

    def _read(self) -> dict[str, bytes]:
        found = read_local_keys(self.path)
        if found.may_others_read and not self._warned:
            self._warned = True
            logger.warning("the local keys in %s can be read by others than its owner", shown_path(self.path))
        return found.keys


def _parts(encrypted: bytes) -> tuple[str, bytes, bytes]:
    id_at = len(MAGIC) + 1
    if encrypted.startswith(MAGIC):
        iv_at = id_at + int.from_bytes(encrypted[len(MAGIC) : id_at], "big")
        key_id = encrypted[id_at:iv_at].decode("ascii", "replace")
        if len(encrypted) == iv_at + _SEALED_SIZE and is_key_id(key_id):
            return key_id, encrypted[iv_at : iv_at + IV_SIZE], encrypted[iv_at + IV_SIZE :]
    raise _unknown("no local key encrypted this data key: it is of another provider, or was changed")


def _unknown(hint: str) -> EncryptionError:
    return EncryptionError(EncryptionReason.UNKNOWN_DATA_KEY, hint)
