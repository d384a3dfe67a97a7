"""The exceptions of this library, and the reasons of a refusal.

Every message is safe to log. It never contains a token or a private key, and text from a request is quoted, cut short
and free of control characters.
"""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Why a request was refused.

    The values are stable: they are metric labels and appear in logs. The members are in the order of the checks: a
    request that is wrong in several ways is refused for the first of these reasons.
    """

    MISSING_SCHEME = "missing_scheme"
    UNSIGNED = "unsigned"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    MISSING_TOKEN = "missing_token"
    REPEATED_HEADER = "repeated_header"
    OVERSIZED_TOKEN = "oversized_token"
    MALFORMED_TOKEN = "malformed_token"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED_CLAIMS = "malformed_claims"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    TOO_OLD = "too_old"
    WRONG_AUDIENCE = "wrong_audience"

    __str__ = str.__str__  # the plain value on every Python; Enum's own changed in 3.11 and 3.12


class IdentityError(Exception):
    """The root of every error that this library raises on purpose."""


class InvalidKeyError(IdentityError, ValueError):
    """A key cannot be used. The message says what is wrong with it and what to do."""


class VerificationError(IdentityError):
    """A request is not proven to come from the owner's Restate, and must be refused.

    Attributes:
        reason: Which check failed.
        hint: What was found, and what an operator can do about it. Safe to log.
        kid: The identity key that the token names, ``publickeyv1_…``; None if no such name was read. Only the
            reasons after ``bad_signature`` prove that this key signed the token.
    """

    def __init__(self, reason: Reason, hint: str, *, kid: str | None = None) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint
        self.kid = kid

    def __str__(self) -> str:
        return f"{self.reason}: {self.hint}"
