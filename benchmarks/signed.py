"""Make many signed requests like a Restate server's, as fast as libsodium signs.

`restate_identity.signing.RequestSigner` makes the same tokens, byte for byte, but a million of them take minutes.
"""

from __future__ import annotations

import binascii
import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from nacl.bindings import crypto_sign as sign
from nacl.bindings import crypto_sign_BYTES, crypto_sign_seed_keypair

from restate_identity import PublicKey

LEEWAY = 4 * 3600
"""Seconds before and after signing. A server's 60 would end during a run, and the length does not affect the cost."""

Headers = list[tuple[bytes, bytes]]


class SignedRequest(NamedTuple):
    """One request, as an ASGI server passes it on."""

    path: str
    token: str
    headers: Headers


class KeyPair:
    """A key to sign with, and its public half."""

    def __init__(self, seed: bytes | None = None) -> None:
        raw, self._secret = crypto_sign_seed_keypair(seed or os.urandom(32))
        self.public = PublicKey(raw)
        members: dict[str, object] = {"typ": "JWT", "alg": "EdDSA", "kid": str(self.public)}
        self._header = _base64url(_json(members))
        self._header_reversed = _base64url(_json(_reversed(members)))

    def token(
        self,
        path: str,
        *,
        subject: str | None = None,
        now: float | None = None,
        leeway: int = LEEWAY,
        header_reversed: bool = False,
        claims_reversed: bool = False,
    ) -> str:
        """Return the token that a server with this key and *leeway* sends for *path* at the second *now*.

        Members in reverse order mean the same, but no server writes them so.
        """
        issued_at = int(time.time() if now is None else now)
        claims: dict[str, object] = {
            "aud": path,
            "exp": issued_at + leeway,
            "iat": issued_at,
            "nbf": issued_at - leeway,
        }
        if subject is not None:
            claims["sub"] = subject
        header = self._header_reversed if header_reversed else self._header
        signed = header + b"." + _base64url(_json(_reversed(claims) if claims_reversed else claims))
        signature = sign(signed, self._secret)[:crypto_sign_BYTES]
        return (signed + b"." + _base64url(signature)).decode()

    def request(
        self, path: str, *, subject: str | None = None, now: float | None = None, leeway: int = LEEWAY
    ) -> SignedRequest:
        """Return a request with such a token and the other headers of a real server."""
        return request(path, self.token(path, subject=subject, now=now, leeway=leeway), subject=subject)

    def distinct(self, path: str, count: int) -> list[SignedRequest]:
        """Return *count* requests for one object handler, each with another key and so with another token."""
        now = time.time()
        return [self.request(path, subject=f"object-{number:07}", now=now) for number in range(count)]


def request(path: str, token: str | None, *, subject: str | None = None, scheme: str = "v1") -> SignedRequest:
    """Return a request with the headers of a real server, in its order (restate-server 1.7, over HTTP/2)."""
    headers: Headers = [
        (b"host", b"127.0.0.1:9080"),
        (b"content-type", b"application/vnd.restate.invocation.v6"),
        (b"accept", b"application/vnd.restate.invocation.v6"),
        (b"x-restate-invocation-id", b"inv_16XvJ10PPRR004xl5WaNwScRbTE2hBOuES"),
    ]
    if subject is not None:
        headers.append((b"x-restate-service-key", subject.encode()))
    headers.append((b"x-restate-signature-scheme", scheme.encode()))
    if token is not None:
        headers.append((b"x-restate-jwt-v1", token.encode()))
    headers.append((b"x-restate-cluster-name", b"localcluster"))
    return SignedRequest(path, token or "", headers)


def with_signature_changed(token: str) -> str:
    """Return *token*, still well-formed, with one bit of the signature flipped."""
    signed, signature = token.rsplit(".", 1)
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def raw_signature(token: str) -> tuple[bytes, bytes]:
    """Return the decoded signature and the signed message of *token*, for a bare signature check."""
    signed, signature = token.rsplit(".", 1)
    return binascii.a2b_base64(signature.replace("-", "+").replace("_", "/") + "=="), signed.encode()


def _reversed(members: Mapping[str, object]) -> dict[str, object]:
    return dict(reversed(list(members.items())))


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _base64url(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")
