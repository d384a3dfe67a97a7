"""Forge tokens as the test vectors do, at one fixed second, and make a verifier whose clock stands there."""

from __future__ import annotations

from typing import Any

from restate_identity import IdentityVerifier, VerificationError
from tests.vectors.forge import FOREIGN, OWN, PATH, TIME, Forge, compact_json

__all__ = [
    "FOREIGN_KEY",
    "KEY",
    "NOW",
    "PATH",
    "claims",
    "compact_json",
    "header",
    "raw_claims",
    "raw_header",
    "refusal",
    "signed",
    "token",
    "verifier",
]

NOW = TIME
KEY, FOREIGN_KEY = OWN.text, FOREIGN.text

_forge = Forge(NOW)
header, claims, raw_header, raw_claims = _forge.header, _forge.claims, _forge.raw_header, _forge.raw_claims


def token(
    header: dict[str, Any] | bytes | None = None,
    claims: dict[str, Any] | bytes | None = None,
    *,
    foreign: bool = False,
) -> str:
    """Sign a JOSE header and claims, given as members or as raw JSON; genuine ones by default."""
    return _forge.token(header, claims, FOREIGN if foreign else OWN)


def signed(header_part: str, payload_part: str, *, foreign: bool = False) -> str:
    """Sign two parts as they are."""
    return _forge.signed(f"{header_part}.{payload_part}", FOREIGN if foreign else OWN)


def verifier(*keys: str, now: float = NOW, **options: Any) -> IdentityVerifier:
    """A verifier of the owner's key (or *keys*) whose clock stands at *now*."""
    return IdentityVerifier(keys or [KEY], clock=lambda: now, **options)


def refusal(by: IdentityVerifier, path: Any, scheme: Any, token: Any) -> VerificationError:
    """Return the error with which a verifier refuses a request."""
    try:
        by.verify_signature(path, scheme, token)
    except VerificationError as error:
        return error
    raise AssertionError("the request was accepted")
