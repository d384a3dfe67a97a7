"""Tokens that no Restate server would make, signed with a real key, each different from a genuine one in one thing.

It signs with OpenSSL, not with the library that the core verifies with.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from restate_identity import IdentityVerifier, PublicKey

NOW = 1_795_381_017
PATH = "/invoke/Greeter/greet"

_OWN = Ed25519PrivateKey.from_private_bytes(b"the owner's key, made for tests.")
_FOREIGN = Ed25519PrivateKey.from_private_bytes(b"another's key, made for testing.")


def _public(key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


KEY = str(_public(_OWN))
FOREIGN_KEY = str(_public(_FOREIGN))


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def header(**changes: Any) -> dict[str, Any]:
    """A JOSE header with *changes*; None drops a member."""
    return _changed({"typ": "JWT", "alg": "EdDSA", "kid": KEY}, changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims with *changes*; None drops a claim."""
    return _changed({"aud": PATH, "exp": NOW + 60, "iat": NOW, "nbf": NOW - 60}, changes)


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def signed(header_part: str, payload_part: str, *, foreign: bool = False) -> str:
    """Sign two parts as they are."""
    message = f"{header_part}.{payload_part}"
    key = _FOREIGN if foreign else _OWN
    return f"{message}.{base64url(key.sign(message.encode()))}"


def token(
    header_: dict[str, Any] | bytes | None = None,
    claims_: dict[str, Any] | bytes | None = None,
    *,
    foreign: bool = False,
) -> str:
    """Sign a JOSE header and claims, given as members or as raw JSON; genuine ones by default."""
    parts = (header() if header_ is None else header_, claims() if claims_ is None else claims_)
    encoded = (base64url(part if isinstance(part, bytes) else compact_json(part)) for part in parts)
    return signed(*encoded, foreign=foreign)


def verifier(*keys: str, now: float = NOW, **options: Any) -> IdentityVerifier:
    """A verifier of the owner's key (or *keys*) whose clock stands at *now*."""
    return IdentityVerifier(keys or [KEY], clock=lambda: now, **options)
