"""The one exception of this package, and its reasons. A message never contains a value, a key or text of a provider."""

from __future__ import annotations

from enum import Enum


class EncryptionReason(str, Enum):
    """Why a value was not encrypted or decrypted. The values are stable: they appear in logs and in Restate's UI."""

    NOT_ENCRYPTED = "not_encrypted"
    TRUNCATED = "truncated"
    OLD_REVISION = "old_revision"
    OVERSIZED_DATA_KEY = "oversized_data_key"
    UNKNOWN_DATA_KEY = "unknown_data_key"
    CHANGED = "changed"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_BUSY = "provider_busy"
    NO_DATA_KEY = "no_data_key"
    UNUSABLE_KEYS = "unusable_keys"
    INTERNAL_ERROR = "internal_error"

    __str__ = str.__str__  # the plain value on every Python; Enum's own changed in 3.11 and 3.12


class EncryptionError(Exception):
    """A value cannot be encrypted or decrypted now, or a provider cannot be used.

    A key provider raises it with the reason ``unknown_data_key`` if it knows for sure that it cannot decrypt a data
    key. Any other exception of a provider counts as an outage, and is tried again.

    Attributes:
        reason: What is wrong.
        hint: What was found, and what an operator can do about it. Safe to log.
    """

    def __init__(self, reason: EncryptionReason, hint: str) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.reason}: {self.hint}"
