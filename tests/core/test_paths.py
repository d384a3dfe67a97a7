"""The signed part of a path, and paths with one meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from restate_identity import Reason, VerificationError, signed_path
from restate_identity.guard import RequestGuard
from restate_identity.paths import is_call, is_rewritten
from restate_identity.signing import RequestSigner
from tests.support import ROOT

VECTORS = ROOT / "tests" / "vectors"
SIGNED = json.loads((VECTORS / "signed_path.json").read_text("utf-8"))
PLAIN = json.loads((VECTORS / "plain_path.json").read_text("utf-8"))
SIGNER = RequestSigner.generate()
PATH = "/invoke/Greeter/greet"


def refusal(path: str | None, raw_path: bytes | None = None, audience: str = PATH) -> VerificationError:
    with pytest.raises(VerificationError) as refused:
        RequestGuard(identity_keys=[SIGNER.public_key]).admit(path, "v1", SIGNER.token(audience), raw_path)
    assert refused.value.reason is Reason.WRONG_AUDIENCE
    return refused.value


@pytest.mark.parametrize("case", SIGNED, ids=[case["path"] or "(empty)" for case in SIGNED])
def test_the_signed_part_of_a_path_follows_the_rule(case: dict[str, str]) -> None:
    assert signed_path(case["path"]) == case["signed"], case["comment"]


def test_only_the_end_of_a_very_long_path_counts() -> None:
    assert signed_path("/x" * 1_000_000 + "/invoke/a/b") == "/invoke/a/b"


@pytest.mark.parametrize("case", PLAIN, ids=[case["comment"] for case in PLAIN])
def test_a_path_is_plain_or_it_is_not(case: dict[str, Any]) -> None:
    path, raw_path = case["path"], case["raw_path"].encode("latin-1") if "raw_path" in case else None
    if not case["plain"] and raw_path is None:
        with pytest.raises(ValueError, match="would never be exempt"):
            RequestGuard(identity_keys=[SIGNER.public_key], exempt_paths=[path])
        return
    exempt = RequestGuard(identity_keys=[SIGNER.public_key], exempt_paths=[path])
    if case["plain"]:
        assert exempt.admit(path, None, None, raw_path) is None
    else:
        with pytest.raises(VerificationError, match="is exempt, but"):
            exempt.admit(path, None, None, raw_path)


REGISTER = "register the deployment with a URL whose path has only letters, digits and -._~ between single slashes"
LEAVE_OUT = "a query is no part of the path, leave it out"
SLASH = "the slash at the end was added on the way"
NEVER = "no Restate server calls a path that ends like this"


@pytest.mark.parametrize(
    ("path", "raw_path", "remedy"),
    [
        (f"/my services{PATH}", None, REGISTER),
        (f"/a/../b{PATH}", None, REGISTER),
        (f"/{PATH}", None, REGISTER),
        ("/a;b/discover", None, REGISTER),
        ("x:/discover", None, REGISTER),
        (f"/a/b{PATH}", f"/a%2Fb{PATH}", REGISTER),
        (f"/x{PATH}", f"/%zz{PATH}?x", REGISTER),
        (f"{PATH}?x", None, LEAVE_OUT),
        ("/a/discover?x=/y", None, LEAVE_OUT),
        (f"{PATH}/", None, SLASH),
        (f"/a{PATH}//", None, SLASH),
        ("/discover/", None, SLASH),
        (PATH, f"{PATH}/", SLASH),
        ("/invoke/Gr\xfc\xdf/a", "/invoke/Gr%C3%BC%C3%9F/a", NEVER),
        (f"{PATH}\x00", f"{PATH}%00", NEVER),
        (PATH, f"{PATH}%00", NEVER),
        ("/INVOKE/Greeter/greet", None, NEVER),
        ("/invoke//greet", None, NEVER),
        ("/alive/", None, NEVER),
        ("/discoverX/", None, NEVER),
        ("/alive?x", None, NEVER),
    ],
)
def test_the_remedy_for_an_odd_path_fits_the_place_where_it_is_odd(
    path: str, raw_path: str | None, remedy: str
) -> None:
    hint = refusal(path, raw_path.encode() if raw_path else None).hint
    assert hint.endswith(f"which servers and frameworks do not all read alike: {remedy}")


@pytest.mark.parametrize("path", [PATH.encode(), 5])
def test_a_path_that_is_no_text_is_refused(path: Any) -> None:
    assert "cannot be read as text, which" in refusal(path).hint


@pytest.mark.parametrize("audience", [PATH, "/other"])
def test_a_request_without_a_path_is_refused_whatever_the_token_is_for(audience: str) -> None:
    hint = "there is no path that can be read: this is no HTTP request, or its path is not UTF-8"
    assert refusal(None, audience=audience).hint == hint


@pytest.mark.parametrize(
    ("path", "raw_path", "oddity"),
    [
        ("/invoke/Admin/run#/invoke/Greeter/greet", None, "contains '#'"),
        ("/invoke/Greeter/greet/", None, "ends with '/'"),
        ("//invoke/Greeter/greet", None, "has an empty segment, '//'"),
        ("/a/../invoke/Greeter/greet", None, "has a segment '.' or '..'"),
        ("x:/invoke/Greeter/greet", None, "does not begin with '/'"),
        ("/\u00e9/invoke/Greeter/greet", None, "contains '\\xe9'"),
        (
            "/INVOKE/Greeter/greet",
            None,
            "has 'INVOKE' before its last two segments, which is 'invoke' if case is ignored",
        ),
        ("/x" * 8192 + PATH, None, "has more than 16384 characters"),
        (PATH, b"/invoke%2FGreeter/greet", "was sent in a form that contains an encoded '/'"),
        (PATH, b"/%61" * 4097 + PATH.encode(), "was sent in a form that has more than 16384 characters"),
        (PATH, "/invoke/Greeter/greet", "came with a raw path that is not bytes"),
    ],
)
def test_a_hint_names_the_oddity(path: str, raw_path: Any, oddity: str) -> None:
    assert oddity in refusal(path, raw_path).hint


def test_a_path_of_16_kib_is_judged_and_a_longer_one_is_not() -> None:
    longest = "/" + "x" * (16 * 1024 - 1 - len(PATH)) + PATH
    genuine = RequestGuard(identity_keys=[SIGNER.public_key])
    assert genuine.admit(longest, "v1", SIGNER.token(PATH), longest.encode()) is not None
    escaped = longest.replace("/xxx", "/%78", 1)
    assert genuine.admit(longest.replace("/xxx", "/x", 1), "v1", SIGNER.token(PATH), escaped.encode()) is not None
    assert "more than 16384" in refusal("/x" + longest).hint


def test_a_request_line_with_another_path_than_the_application_is_refused() -> None:
    for raw_path in (b"/invoke/Greeter/other", b"/invoke/Greeter/another"):
        assert "something in front of the guard rewrote the path" in refusal(PATH, raw_path).hint
    genuine = RequestGuard(identity_keys=[SIGNER.public_key])
    for raw_path in (b"/mounted" + PATH.encode(), b"/invoke/Gr%65eter/greet?x"):
        assert genuine.admit(PATH, "v1", SIGNER.token(PATH), raw_path) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/anything",
        "/health",
        "/",
        "/invoke/1A/greet",
        "/invoke/__x/greet",
        "/invoke/A/b.c",
        "/invoke/A/b-c",
        "/invoke/_/a",
    ],
)
def test_a_path_that_no_server_calls_is_refused_even_if_it_is_signed(path: str) -> None:
    assert refusal(path, audience=path).hint.endswith(
        "no path that a Restate server calls: those end in /discover or /invoke/<service>/<handler>"
    )


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/invoke/Greeter/greet", True),
        ("/any/prefix/invoke/Greeter/greet", True),
        ("/INVOKE/Greeter/greet", True),
        ("/invoke//", True),
        ("/discover", True),
        ("/any/prefix/Discover", True),
        ("discover", False),
        ("/discovery", False),
        ("/discover/", False),
        ("/a/discover/b", False),
        ("/zzz", False),
        ("/", False),
        ("/invoke", False),
        ("/invoke/Greeter", False),
        ("invoke/Greeter/greet", False),
        ("/invoke/Greeter/greet/more", False),
        ("/inject/Greeter/greet", False),
        ("/provoke/Greeter/greet", False),
    ],
)
def test_a_path_that_ends_as_restates_calls_do_is_one_whatever_the_names_and_the_case(path: str, is_one: bool) -> None:
    assert is_call(path) is is_one


@pytest.mark.parametrize(
    ("path", "raw_path", "differ"),
    [
        ("/health", None, False),
        ("/health", b"/health?verbose", False),
        ("/health", b"/h%65alth", False),
        ("/health", b"/mounted/health", False),
        ("/mounted/health", b"/health", False),
        ("/health", b"/admin", True),
        ("/health", b"/health/admin", True),
        ("/mounted/invoke/Greeter/greet", b"/invoke/Greeter/greet", False),
        ("/mounted/invoke/Greeter/greet", b"/other/invoke/Greeter/greet", False),
        ("/invoke/Greeter/greet", b"/invoke/Greeter/reset", True),
        ("/health", b"/invoke/Greeter/health", True),
        ("/invoke/Greeter/health", b"/health", True),
        ("/discover", b"/mounted/discover", False),
    ],
)
def test_a_path_and_what_the_request_line_asks_for_differ_by_a_prefix_at_most(
    path: str, raw_path: bytes | None, differ: bool
) -> None:
    assert is_rewritten(path, raw_path) is differ
