"""Make the cases from keys with fixed seeds, and tokens signed by OpenSSL, never by the code under test."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import base58
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.base64url import base64url

TIME = 1_795_381_017
"""When the cases of the files happen, in Unix seconds."""
PATH = "/invoke/Greeter/greet"
SCHEME_HEADER = "x-restate-signature-scheme"
TOKEN_HEADER = "x-restate-jwt-v1"

Headers = list[tuple[str, str]]


class KeyPair:
    """A key made for these cases from a fixed *seed* (32 bytes)."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.raw = self._private.public_key().public_bytes_raw()
        self.text = restate_form(self.raw)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


class Case(NamedTuple):
    """One request and its expected verdict. Without a reason it must be accepted.

    Attributes:
        clock: The verdict depends on the exact second, so only a verifier whose clock can be set can run the case.
        shift: When it happens, in seconds after the case's tokens were signed.
    """

    comment: str
    headers: Headers
    reason: str | None = None
    path: str = PATH
    keys: list[str] | None = None
    shift: float = 0
    clock: bool = False
    subject: str | None = None


def restate_form(raw: bytes) -> str:
    return "publickeyv1_" + base58.b58encode(raw).decode()


OWN = KeyPair(b"the owner's key of the vectors..")
SECOND = KeyPair(b"the owner's next key, to rotate.")
FOREIGN = KeyPair(b"the key of somebody else's cloud")


def compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def with_token(token: str, scheme: str = "v1") -> Headers:
    return [(SCHEME_HEADER, scheme), (TOKEN_HEADER, token)]


class Forge:
    """Makes tokens as a server with the key *own* does at the second *now*, or with one difference."""

    def __init__(self, now: int, own: KeyPair = OWN) -> None:
        self.now = now
        self.own = own

    def header(self, **changes: Any) -> dict[str, Any]:
        """The server's JOSE header with *changes*; None drops a member."""
        return _changed({"typ": "JWT", "alg": "EdDSA", "kid": self.own.text}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The server's claims with *changes*; None drops a claim."""
        times = {"exp": self.now + 60, "iat": self.now, "nbf": self.now - 60}
        return _changed({"aud": PATH, **times}, changes)

    def raw_header(self, text: str) -> bytes:
        """The server's JOSE header with *text* spliced in at the end of the object."""
        return compact_json(self.header())[:-1] + text.encode("utf-8", "surrogatepass") + b"}"

    def raw_claims(self, text: str) -> bytes:
        return compact_json(self.claims())[:-1] + text.encode("utf-8", "surrogatepass") + b"}"

    def parts(self, header: dict[str, Any] | bytes | None = None, claims: dict[str, Any] | bytes | None = None) -> str:
        """The signed part of a token: JOSE header and claims, given as members or as raw JSON."""
        values = (self.header() if header is None else header, self.claims() if claims is None else claims)
        return ".".join(base64url(value if isinstance(value, bytes) else compact_json(value)) for value in values)

    def token(
        self,
        header: dict[str, Any] | bytes | None = None,
        claims: dict[str, Any] | bytes | None = None,
        key: KeyPair | None = None,
    ) -> str:
        return self.signed(self.parts(header, claims), key)

    def signed(self, parts: str, key: KeyPair | None = None) -> str:
        """Sign two parts as they are."""
        return f"{parts}.{base64url((key or self.own).sign(parts.encode()))}"

    def genuine(self, key: KeyPair | None = None, /, **changes: Any) -> str:
        """What the server with *key* sends, with *changes* to the claims."""
        key = key or self.own
        return self.token(self.header(kid=key.text), self.claims(**changes), key)


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}
