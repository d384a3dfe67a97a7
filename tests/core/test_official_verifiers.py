"""Compare this library with the official verifiers, request by request.

The Python SDK's own native verifier (Rust; TypeScript shares it) verifies the same requests here. The SDK accepts every
request that this library accepts. The requests that only this library refuses are listed, and refused on purpose.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import base58
import pytest
from restate._internal import (  # type: ignore[import-not-found]  # a native module without stubs
    IdentityVerificationException,
    PyIdentityVerifier,
)

from restate_identity import IdentityVerifier, InvalidKeyError, PublicKey, Reason, VerificationError
from tests.support.base64url import base64url
from tests.support.forge import FOREIGN_KEY, KEY, PATH, claims, compact_json, header, token

# The SDK's verifier has no clock to set.
NOW = int(time.time())
# Far enough in the future that the token does not become valid while slow tests run.
DAY = 24 * 60 * 60
NAMES = ("x-restate-signature-scheme", "x-restate-jwt-v1")


def current(**changes: object) -> dict[str, object]:
    return claims(**{"exp": NOW + DAY, "iat": NOW, "nbf": NOW - 3600, **changes})


def signed_by_us(**changes: object) -> list[tuple[str, str]]:
    return with_token(token(claims=current(**changes)))


def with_token(value: str) -> list[tuple[str, str]]:
    return list(zip(NAMES, ("v1", value), strict=True))


class Row(NamedTuple):
    case: str
    headers: list[tuple[str, str]]
    sdk_accepts: bool
    reason: Reason | None
    path: str = PATH


GENUINE = token(claims=current())
JWK = {"kty": "OKP", "crv": "Ed25519", "x": base64url(PublicKey.parse(FOREIGN_KEY).raw)}
UNSIGNED_PARTS = GENUINE.rpartition(".")[0]

ROWS = [
    Row("genuine", with_token(GENUINE), True, None),
    Row("mounted under a prefix", with_token(GENUINE), True, None, path="/some/prefix" + PATH),
    Row("bad signature", with_token(f"{UNSIGNED_PARTS}.{base64url(bytes(64))}"), False, Reason.BAD_SIGNATURE),
    Row("wrong alg", with_token(token(header(alg="HS256"), current())), False, Reason.UNSUPPORTED_ALGORITHM),
    Row(
        "alg none",
        with_token(f"{base64url(compact_json(header(alg='none')))}.{base64url(compact_json(current()))}."),
        False,
        Reason.UNSUPPORTED_ALGORITHM,
    ),
    Row("expired", signed_by_us(exp=NOW - 1, iat=NOW - 2), False, Reason.EXPIRED),
    Row("not yet valid", signed_by_us(nbf=NOW + DAY // 2, iat=NOW + DAY // 2), False, Reason.NOT_YET_VALID),
    Row("for another path", signed_by_us(aud="/invoke/Greeter/admin"), False, Reason.WRONG_AUDIENCE),
    Row("kid missing", with_token(token(header(kid=None), current())), True, Reason.UNKNOWN_KEY),
    Row("kid not configured", with_token(token(header(kid=FOREIGN_KEY), current())), True, Reason.UNKNOWN_KEY),
    Row("header repeated", [*with_token(GENUINE), (NAMES[1], "garbage")], True, Reason.REPEATED_HEADER),
    Row("header repeated, good one last", [(NAMES[1], "garbage"), *with_token(GENUINE)], False, Reason.REPEATED_HEADER),
    Row("aud as an array", signed_by_us(aud=[PATH]), True, Reason.MALFORMED_CLAIMS),
    Row("exp not an integer", signed_by_us(exp=NOW + DAY + 0.5), True, Reason.MALFORMED_CLAIMS),
    Row("no iat", signed_by_us(iat=None), True, Reason.MALFORMED_CLAIMS),
    Row("jwk in the header", with_token(token(header(jwk=JWK), current())), True, Reason.MALFORMED_TOKEN),
    Row("crit in the header", with_token(token(header(crit=["exp"]), current())), True, Reason.MALFORMED_TOKEN),
    Row(
        "crit in the header, and met",
        with_token(token(header(crit=["x"], x=1), current())),
        False,
        Reason.MALFORMED_TOKEN,
    ),
    Row("b64 in the header", with_token(token(header(b64=False), current())), False, Reason.MALFORMED_TOKEN),
    Row("path with a query", with_token(GENUINE), False, Reason.WRONG_AUDIENCE, path=PATH + "?a=1"),
    Row("path with a trailing slash", with_token(GENUINE), False, Reason.WRONG_AUDIENCE, path=PATH + "/"),
    Row("path in another case", with_token(GENUINE), False, Reason.WRONG_AUDIENCE, path=PATH.upper()),
    Row("no headers", [], False, Reason.MISSING_SCHEME),
    Row("unsigned", [(NAMES[0], "unsigned")], False, Reason.UNSIGNED),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.case for row in ROWS])
def test_a_row_of_the_comparison(row: Row) -> None:
    assert sdk_accepts([KEY], row.headers, row.path) is row.sdk_accepts
    assert reason([KEY], row.headers, row.path) is row.reason


def test_a_key_of_small_order_lets_anyone_in_at_the_sdk_and_is_refused_here() -> None:
    # The neutral element as the key, and as R with S = 0: S·B = R + k·A holds for every k, that is for every message.
    neutral = bytes([1]) + bytes(31)
    weak = "publickeyv1_" + base58.b58encode(neutral).decode()
    parts = ".".join(base64url(compact_json(part)) for part in (header(kid=weak), current()))
    forged = with_token(f"{parts}.{base64url(neutral + bytes(32))}")
    assert sdk_accepts([weak], forged, PATH)
    with pytest.raises(InvalidKeyError, match=r"identity key 1: .* of small order"):
        IdentityVerifier([weak])


def test_an_empty_list_of_keys_switches_the_sdk_off_and_is_refused_here() -> None:
    assert sdk_accepts([], [], PATH)
    with pytest.raises(ValueError, match="verification is never switched off"):
        IdentityVerifier([])


def test_no_clock_skew_beyond_the_token_is_tolerated_by_default() -> None:
    edge = signed_by_us(exp=NOW - 1, iat=NOW - 2)
    assert not sdk_accepts([KEY], edge, PATH)
    assert reason([KEY], edge, PATH) is Reason.EXPIRED
    assert IdentityVerifier([KEY], leeway=DAY).verify(PATH, edge).expires_at == NOW - 1


def sdk_accepts(keys: list[str], headers: list[tuple[str, str]], path: str) -> bool:
    try:
        PyIdentityVerifier(keys).verify(headers, path)
    except IdentityVerificationException:
        return False
    return True


def reason(keys: list[str], headers: list[tuple[str, str]], path: str) -> Reason | None:
    try:
        IdentityVerifier(keys).verify(path, headers)
    except VerificationError as error:
        return error.reason
    return None
