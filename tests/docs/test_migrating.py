"""The handwritten check in ``docs/migrating.md`` treats each request as the page says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from restate_identity import InvalidKeyError, PublicKey, VerificationError
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.base64url import base64url
from tests.vectors.forge import compact_json, restate_form

PAGE = (ROOT / "docs" / "migrating.md").read_text("utf-8")
TABLE = PAGE.split("| request | by hand | here |")[1].split("\n\n")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| (.+) \|$", TABLE, flags=re.MULTILINE))
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
(BY_HAND,) = (code for code in SNIPPETS if "def check_by_hand(" in code)
(HERE,) = (code for code in SNIPPETS if "def check(" in code)

SIGNER = RequestSigner.generate()
NEUTRAL = bytes([1]) + bytes(31)  # the point with x = 0 and y = 1 (RFC 8032, 5.1.2)
PATH = "/invoke/Greeter/greet"
SCHEME, TOKEN = "x-restate-signature-scheme", "x-restate-jwt-v1"
Headers = dict[str, str]


def signed(kid: str = str(SIGNER.public_key), **changed: Any) -> Headers:
    now = int(time.time())
    claims = {"aud": PATH, "exp": now + 60, "iat": now, "nbf": now - 60, **changed}
    header = {"typ": "JWT", "alg": "EdDSA", "kid": kid}
    kept = {name: value for name, value in claims.items() if value is not None}
    return {SCHEME: "v1", TOKEN: SIGNER.sign_jws(header, kept)}


REQUESTS: dict[str, tuple[str, Callable[[], Headers]]] = {
    "a genuine one": (PATH, lambda: SIGNER.headers(PATH)),
    "a genuine one, to a service mounted under a prefix": (f"/v1{PATH}", lambda: SIGNER.headers(f"/v1{PATH}")),
    "a token without `exp`, which is valid for ever": (PATH, lambda: signed(exp=None)),
    "a token without `nbf` and `iat`": (PATH, lambda: signed(nbf=None, iat=None)),
    "an audience that is a list of paths": (PATH, lambda: signed(aud=[PATH, "/discover"])),
    "a token that names another key": (PATH, lambda: signed(kid=str(RequestSigner.generate().public_key))),
    "the scheme is `unsigned`": (PATH, lambda: {**SIGNER.headers(PATH), SCHEME: "unsigned"}),
    "no token at all": (PATH, lambda: {SCHEME: "v1"}),
}
FORGED = "a forged one, the configured key being of small order"


def test_every_row_of_the_table_is_tried() -> None:
    assert [*REQUESTS, FORGED] == [row for row in ROWS if not row.startswith("---")]


@pytest.mark.parametrize("request_", REQUESTS)
def test_both_checks_do_what_the_page_says(request_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", str(SIGNER.public_key))
    path, headers = REQUESTS[request_]

    verdicts = verdict(BY_HAND, "check_by_hand", path, headers()), verdict(HERE, "check", path, headers())

    by_hand, here = ROWS[request_].split(" | ")
    assert verdicts == (by_hand.partition(":")[0].strip("`"), here)


def test_a_forged_request_passes_the_check_by_hand_where_the_key_is_of_small_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = restate_form(NEUTRAL)
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", key)
    now = int(time.time())
    parts = {"typ": "JWT", "alg": "EdDSA", "kid": key}, {"aud": PATH, "exp": now + 60, "iat": now, "nbf": now - 60}
    # R is the neutral element and S is zero: with such a key the equation holds for every message.
    forged = ".".join([*(base64url(compact_json(part)) for part in parts), base64url(NEUTRAL + bytes(32))])
    headers = {SCHEME: "v1", TOKEN: forged}

    by_hand, here = ROWS[FORGED].split(" | ")

    assert verdict(BY_HAND, "check_by_hand", PATH, headers) == by_hand
    assert here == "the key is refused"
    with pytest.raises(InvalidKeyError):
        PublicKey.parse(key)


def verdict(code: str, name: str, path: str, headers: Headers) -> str:
    names: dict[str, Any] = {}
    exec(code, names)
    try:
        names[name](path, headers)
    except (VerificationError, jwt.InvalidTokenError):
        return "refused"
    except KeyError:
        return "KeyError"
    return "accepted"
