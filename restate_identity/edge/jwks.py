"""Identity keys as a JSON Web Key Set (RFC 7517, RFC 8037), for programs that verify JWTs themselves."""

from __future__ import annotations

from collections.abc import Iterable

from restate_identity._base64url import encoded
from restate_identity.keys import PublicKey


def key_set(keys: Iterable[PublicKey]) -> dict[str, list[dict[str, str]]]:
    """Return *keys* as a JWK Set."""
    return {"keys": [_jwk(key) for key in keys]}


def _jwk(key: PublicKey) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encoded(key.raw).decode(),
        "kid": str(key),
        "alg": "EdDSA",
        "use": "sig",
    }
