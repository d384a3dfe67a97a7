"""Prove that a request really came from your own Restate."""

from restate_identity._ed25519 import ED25519_IMPLEMENTATION
from restate_identity.errors import IdentityError, InvalidKeyError, Reason, VerificationError
from restate_identity.identity import Identity, current_identity
from restate_identity.keys import PublicKey
from restate_identity.paths import signed_path
from restate_identity.verifier import CacheInfo, IdentityVerifier

__version__ = "0.1.0"

__all__ = [
    "ED25519_IMPLEMENTATION",
    "CacheInfo",
    "Identity",
    "IdentityError",
    "IdentityVerifier",
    "InvalidKeyError",
    "PublicKey",
    "Reason",
    "VerificationError",
    "current_identity",
    "signed_path",
]
