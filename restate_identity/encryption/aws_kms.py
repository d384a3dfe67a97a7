"""Encrypt data keys with AWS KMS, as Restate's TypeScript library does. Needs the extra ``encryption-aws``.

boto3 blocks, so it runs in threads of its own. Its limits of time are shorter than those of the codec, so that a thread
is free again soon after nobody waits for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from restate_identity.encryption.asking import unavailable
from restate_identity.encryption.daemon_threads import DaemonThreads
from restate_identity.encryption.data_key import DataKey
from restate_identity.encryption.errors import EncryptionError, EncryptionReason

THREADS = 32
"""How many calls run at once: as many as the codec makes."""
CONNECT_LIMIT, READ_LIMIT, ATTEMPTS = 1.5, 2.5, 2
# These say that the key of the value is not one of ours. All others may be over some time: a missing permission or a
# disabled key too.
_NOT_OURS = {"IncorrectKeyException", "InvalidCiphertextException"}


class AwsKms:
    """A `KeyProvider` with a symmetric key of AWS KMS: ``GenerateDataKey`` and ``Decrypt``, without encryption context.

    KMS is told which key must have encrypted a data key, so values of somebody else's key are refused, even if the
    service would be allowed to use that key.

    Args:
        key_id: The id, ARN or alias of the KMS key that encrypts new data keys.
        also_decrypts: Former keys, whose data keys are decrypted too.
        client_options: As for ``boto3.client("kms", …)``, for instance ``region_name``; a ``config`` is merged with the
            limits of time.

    Raises:
        ImportError: boto3 is missing.
        ValueError: No key is named. boto3 raises its own errors if, for instance, no region is configured.
    """

    def __init__(self, key_id: str, *, also_decrypts: Iterable[str] = (), **client_options: Any) -> None:
        if isinstance(also_decrypts, str):
            raise TypeError("also_decrypts is a list of keys, not a text")
        self._keys = (key_id, *also_decrypts)
        if not all(isinstance(key, str) and key.strip() for key in self._keys):
            raise ValueError("each key is the id, the ARN or the alias of a KMS key")
        self._options = client_options
        self._threads = DaemonThreads(THREADS)
        self._client, self._owner = _client(client_options), os.getpid()

    def __repr__(self) -> str:
        return f"<AwsKms {self._keys[0]!r}>"

    async def generate_data_key(self) -> DataKey:
        """Return a new data key."""
        answer = await self._call(lambda client: client.generate_data_key(KeyId=self._keys[0], KeySpec="AES_256"))
        return DataKey(_bytes(answer, "Plaintext"), _bytes(answer, "CiphertextBlob"))

    async def decrypt_data_key(self, encrypted: bytes) -> bytes:
        """Return a data key that one of the keys encrypted."""
        failures: list[EncryptionError] = []
        for key in self._keys:
            try:
                answer = await self._call(partial(_decrypt, key=key, encrypted=encrypted))
            except EncryptionError as error:
                failures.append(error.with_traceback(None))
            else:
                return _bytes(answer, "Plaintext")
        # Only if no key can ever decrypt it, it is unknown.
        outages = [failure for failure in failures if failure.reason is not EncryptionReason.UNKNOWN_DATA_KEY]
        raise (outages or failures)[0]

    async def _call(self, call: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        if self._owner != os.getpid():
            # A forked process must not use the connections of its parent.
            self._client, self._owner = _client(self._options), os.getpid()
        client = self._client
        try:
            return await self._threads.run(lambda: call(client))
        except Exception as error:  # noqa: BLE001 (botocore's are many, and what they say is not ours to log)
            code = _code(error)
        if code in _NOT_OURS:
            raise EncryptionError(
                EncryptionReason.UNKNOWN_DATA_KEY,
                f"AWS KMS did not encrypt this data key with the configured key: {code}",
            )
        raise unavailable(f"AWS KMS: {code}")


def _decrypt(client: Any, *, key: str, encrypted: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = client.decrypt(KeyId=key, CiphertextBlob=encrypted)
    return answer


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    told = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return told if isinstance(told, str) and told.isidentifier() and len(told) < 100 else type(error).__name__


def _bytes(answer: dict[str, Any], name: str) -> bytes:
    found = answer.get(name)
    if not isinstance(found, bytes):
        raise unavailable(f"the answer of AWS KMS has no {name}")
    return found


def _no_bodies(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _client(options: dict[str, Any]) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ImportError(
            "boto3 is missing: pip install 'restate-identity[encryption-aws]'", name=error.name
        ) from error
    # At this level botocore logs the body of every answer, which has the data key.
    parsers = logging.getLogger("botocore.parsers")
    if _no_bodies not in parsers.filters:
        parsers.addFilter(_no_bodies)
    limits = Config(
        connect_timeout=CONNECT_LIMIT,
        read_timeout=READ_LIMIT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=THREADS,
    )
    given = options.get("config")
    config = limits if given is None else limits.merge(given)
    return boto3.client("kms", **{**options, "config": config})
