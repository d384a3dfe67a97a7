"""What ``restate-identity inspect`` prints, to the letter, at a time that a test decides."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from restate_identity.cli.inspect import inspect
from restate_identity.signing import RequestSigner
from tests.support.base64url import base64url
from tests.support.forge import compact_json

NOW = 1_000_000_000
SIGNER, STRANGER = RequestSigner.generate(), RequestSigner.generate()
KEY = str(SIGNER.public_key)


@pytest.fixture(autouse=True)
def _it_is_now_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def inspected(token: str, *arguments: str) -> Result:
    return CliRunner().invoke(inspect, [*arguments, token], standalone_mode=False)


def unsigned(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    return f"{base64url(compact_json(header or {}))}.{base64url(compact_json(claims))}."


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        ([], "not checked, so nothing above is proven: pass --identity-key", 0),
        (["--identity-key", KEY], f"holds: signed by {KEY}", 0),
        (["--identity-key", str(STRANGER.public_key)], "REFUSED, unknown_key: ", 1),
    ],
    ids=["without a key", "with its key", "with another key"],
)
def test_it_prints_header_claims_window_and_signature(arguments: list[str], told: str, status: int) -> None:
    token = SIGNER.sign_jws(
        {"alg": "EdDSA", "kid": KEY},
        {"aud": "/discover", "exp": NOW + 60, "iat": NOW, "nbf": NOW - 120, "list": [2001], "longer-name": None},
    )
    done = inspected(token, *arguments)
    *lines, last = done.output.splitlines()
    assert lines == [
        "JOSE header",
        "  alg          EdDSA",
        f"  kid          {KEY}",
        "Claims",
        "  aud          /discover",
        "  exp          1000000060  2001-09-09 01:47:40+00:00, in 60 seconds",
        "  iat          1000000000  2001-09-09 01:46:40+00:00, 0 seconds ago",
        "  nbf          999999880  2001-09-09 01:44:40+00:00, 2 minutes ago",
        "  list         [2001]",
        "  longer-name  null",
        "Window       open by this machine's clock",
    ]
    assert last.startswith(f"Signature    {told}")
    assert done.return_value == status


def test_a_second_is_one() -> None:
    shown = inspected(unsigned({"exp": NOW + 1, "iat": NOW - 1})).output
    assert "exp        1000000001  2001-09-09 01:46:41+00:00, in 1 second\n" in shown
    assert "iat        999999999  2001-09-09 01:46:39+00:00, 1 second ago\n" in shown


@pytest.mark.parametrize(
    ("claims", "window", "words"),
    [
        ({"nbf": NOW + 1, "exp": NOW + 60}, "not_yet_valid", "not yet valid by this machine's clock"),
        ({"nbf": NOW, "exp": NOW + 1}, "open", "open by this machine's clock"),
        ({"nbf": NOW - 1, "exp": NOW}, "expired", "expired by this machine's clock"),
        ({"nbf": NOW - 2, "exp": NOW - 1}, "expired", "expired by this machine's clock"),
        ({"nbf": NOW}, "none", "none: nbf and exp are not both times in whole seconds"),
        ({"exp": NOW + 1}, "none", "none: nbf and exp are not both times in whole seconds"),
        ({"nbf": NOW, "exp": float(NOW + 1)}, "none", "none: nbf and exp are not both times in whole seconds"),
        ({"nbf": True, "exp": NOW + 1}, "none", "none: nbf and exp are not both times in whole seconds"),
    ],
)
def test_a_token_is_valid_from_nbf_on_and_before_exp(claims: dict[str, Any], window: str, words: str) -> None:
    token = unsigned(claims)
    assert f"Window       {words}\n" in inspected(token).output
    assert json.loads(inspected(token, "--json").output) == {
        "header": {},
        "claims": claims,
        "window": window,
        "signature": {"holds": None},
    }


def test_a_refusal_is_told_to_machines_with_its_reason_and_its_hint() -> None:
    done = inspected(SIGNER.token("/discover"), "--identity-key", str(STRANGER.public_key), "--json")
    signature = json.loads(done.output)["signature"]
    assert (signature["holds"], signature["reason"]) == (False, "unknown_key")
    assert KEY in signature["hint"]


# Each is another error of the operating system or of Python.
@pytest.mark.parametrize("seconds", [10**11 * 3, 10**17, 10**30])
def test_a_time_that_is_beyond_every_calendar_is_no_date(seconds: int) -> None:
    assert f"  exp        {seconds}  not a date\n" in inspected(unsigned({"exp": seconds})).output


@pytest.mark.parametrize("size", range(4))
def test_base64url_of_every_length_is_read(size: int) -> None:
    assert f"  a          {'x' * size}\n".replace("          \n", "\n") in inspected(unsigned({"a": "x" * size})).output


@pytest.mark.parametrize(("text", "number"), [("a", 1), ("a.b", 2), ("e30.e30.c.d", 4)])
def test_what_has_no_three_parts_is_no_token(text: str, number: int) -> None:
    error = inspected(text).exception
    assert f"a token has three parts joined by dots, this text has {number}: " in str(error)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("W10.e30.", "JOSE header"),
        ("e30.W10.", "payload"),
        ("e30.!.", "payload"),
        (f"{'W' * 5000}.e30.", "JOSE header"),
    ],
)
def test_the_part_that_is_no_json_object_is_named(text: str, part: str) -> None:
    assert f"the token's {part} is not a JSON object in base64url" in str(inspected(text).exception)
