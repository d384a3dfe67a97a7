"""Provide the fuzzer's first inputs: the test vectors and the recorded requests, and say which tokens are genuine."""

from __future__ import annotations

import json
from typing import Any

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support import ROOT
from tests.support.base64url import from_base64url

VECTORS = ROOT / "tests" / "vectors"
TOKEN, SCHEME = "x-restate-jwt-v1", "x-restate-signature-scheme"
# The second of the recorded requests. The vectors are moved to it too, except those about time.
NOW = 1_795_381_017

DOCUMENTS = [json.loads(file.read_text("utf-8")) for file in sorted(VECTORS.glob("*.json"))]
CASES: list[dict[str, Any]] = [case for document in DOCUMENTS if "group" in document for case in document["cases"]]
RECORDED: list[dict[str, Any]] = [
    json.loads(line) for line in (VECTORS / "data" / "recorded_requests.jsonl").read_text("utf-8").splitlines()[1:]
]
REQUESTS: list[tuple[str, list[tuple[str, str]]]] = [
    (str(request["path"]), [(name, value) for name, value in request["headers"]]) for request in [*RECORDED, *CASES]
]
KEYS = sorted({key for case in CASES if case["verdict"] == "valid" for key in case["keys"]})


def decoded(part: str) -> bytes:
    return from_base64url(part)


def value(headers: list[tuple[str, str]], name: str) -> str:
    return next((value for found, value in headers if found.lower() == name), "")


def _is_genuine(token: str, keys: list[Ed25519PublicKey]) -> bool:
    signed, _, signature = token.rpartition(".")
    for key in keys:
        try:
            key.verify(decoded(signature), signed.encode())
            return True
        except (InvalidSignature, ValueError):
            continue
    return False


def _genuine() -> frozenset[str]:
    # OpenSSL decides this, not the code under test.
    raw = (base58.b58decode(key.removeprefix("publickeyv1_")) for key in KEYS)
    keys = [Ed25519PublicKey.from_public_bytes(key) for key in raw]
    # All values of a repeated header, because the code under test may drop some.
    values = [value for _, headers in REQUESTS for name, value in headers if name.lower() == TOKEN]
    tokens = {token.strip() for value in values for token in value.split(",")}
    return frozenset(token for token in tokens if _is_genuine(token, keys))


GENUINE = _genuine()
"""The seeds' tokens that a trusted key signed. No other may be accepted: the fuzzer has no private key."""
